package cli

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) deploymentsCommand() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{Use: "deployments ORG", Short: "Show what changed a tenant, newest first", Args: cobra.ExactArgs(1)}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many, 1 to 1000")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		page, err := c.Deployments(cmd.Context(), args[0], "", limit)
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return deploymentRows(time.Now(), page.Deployments) })
	}
	return cmd
}

func deploymentRows(now time.Time, list []client.Deployment) [][]string {
	rows := [][]string{{"DEPLOYMENT", "GENERATION", "TYPE", "STATUS", "FROM", "TO", "DIGEST", "BLUEPRINT", "WHEN", "ERROR"}}
	for _, d := range list {
		digest := orDash(d.ImageDigest)
		if len(digest) > 19 {
			digest = digest[:19] // enough to tell apart
		}
		rows = append(rows, []string{
			d.ID, strconv.Itoa(d.Generation), d.DeploymentType, d.Status, orDash(d.PreviousImageTag), d.NewImageTag,
			digest, orDash(&d.Blueprint), ago(now, &d.CreatedAt), orDash(d.ErrorMessage),
		})
	}
	return rows
}

func (a *app) eventsCommand() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{Use: "events [ORG]", Short: "Show what happened outside orders: drift, foreign objects, taken ports", Args: cobra.MaximumNArgs(1)}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many, 1 to 1000")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		org := ""
		if len(args) == 1 {
			org = args[0]
		}
		list, err := c.Events(cmd.Context(), org, limit)
		if err != nil {
			return err
		}
		return a.show(func() [][]string {
			rows := [][]string{{"WHEN", "ORGANIZATION", "KIND", "WHAT"}}
			for _, e := range list {
				rows = append(rows, []string{ago(time.Now(), &e.At), orDash(e.OrganizationID), e.Kind, e.Message})
			}
			return rows
		})
	}
	return cmd
}

func (a *app) volumesCommand() *cobra.Command {
	return &cobra.Command{Use: "volumes", Short: "List the volumes that Berth made and nobody ordered gone", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, err := c.Volumes(cmd.Context())
		if err != nil {
			return err
		}
		return a.show(func() [][]string {
			rows := [][]string{{"VOLUME", "MOUNT", "MADE", "STATE"}}
			for _, v := range list {
				state := "in use"
				if v.KeptAt != nil {
					state = "kept since " + v.KeptAt.Format(time.DateOnly)
				}
				rows = append(rows, []string{v.Name, v.Mount, ago(time.Now(), v.CreatedAt), state})
			}
			return rows
		})
	}}
}
