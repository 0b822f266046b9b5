package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) deploymentsCommand() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{Use: "deployments ORG [DEPLOYMENT]", Short: "Show what changed a tenant, newest first, or one change step by step", Args: cobra.RangeArgs(1, 2),
		Long: `Show what changed a tenant, newest first, or one change step by step.

The newest 100 of an organization are kept (--keep-deployments of berth serve), and
those that a rollback goes by. What is older is dropped once an hour.`}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		if len(args) == 2 {
			d, err := c.Deployment(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.show(func() [][]string { return deploymentDetail(d) })
		}
		list, raw, err := upTo(a, limit, "deployments", func(cursor string, limit int) ([]client.Deployment, *string, error) {
			page, err := c.Deployments(cmd.Context(), args[0], cursor, limit)
			return page.Deployments, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string { return deploymentRows(time.Now(), list) })
	}
	return cmd
}

func deploymentRows(now time.Time, list []client.Deployment) [][]string {
	rows := [][]string{{"DEPLOYMENT", "GENERATION", "TYPE", "STATUS", "FROM", "TO", "DIGEST", "BLUEPRINT", "BY", "WHEN", "TOOK", "NOTES", "ERROR"}}
	for _, d := range list {
		digest := orDash(d.ImageDigest)
		if len(digest) > 19 {
			digest = digest[:19] // enough to tell apart
		}
		rows = append(rows, []string{
			d.ID, strconv.Itoa(d.Generation), d.DeploymentType, d.Status, orDash(d.PreviousImageTag), d.NewImageTag,
			digest, orDash(&d.Blueprint), orDash(&d.DeployedBy), ago(now, &d.CreatedAt), took(d), orDash(d.DeploymentNotes), orDash(d.ErrorMessage),
		})
	}
	return rows
}

func took(d client.Deployment) string {
	if d.CompletedAt == nil {
		return "-"
	}
	return d.CompletedAt.Sub(d.CreatedAt).Round(time.Millisecond).String()
}

// deploymentDetail is one deployment, a fact a line, and then its steps.
func deploymentDetail(d client.Deployment) [][]string {
	rows := [][]string{{"FIELD", "FROM", "TO"}}
	add := func(name, from, to string) { rows = append(rows, []string{name, from, to}) }
	limits := func(c client.DeploymentSpec) string {
		return fmt.Sprintf("%.2f cores, %d MB, disk %d MB, %d replicas", c.CPULimit, c.MemoryLimitMB, c.DiskLimitMB, c.Replicas)
	}
	before := client.DeploymentSpec{}
	fromLimits := "-"
	if d.PreviousConfig != nil {
		before, fromLimits = *d.PreviousConfig, limits(*d.PreviousConfig)
	}
	add("type", "-", d.DeploymentType)
	add("status", "-", d.Status)
	add("image", orDash(d.PreviousImageTag), d.NewImageTag)
	add("digest", orDash(before.ImageDigest), orDash(d.ImageDigest))
	add("blueprint", orDash(&before.Blueprint), orDash(&d.Blueprint))
	add("limits", fromLimits, limits(d.NewConfig))
	add("variables changed", "-", orNone(strings.Join(d.EnvironmentChanged, ", ")))
	add("by", "-", orDash(&d.DeployedBy))
	add("notes", "-", orDash(d.DeploymentNotes))
	add("error", "-", orDash(d.ErrorMessage))
	for _, s := range d.Steps {
		add("step "+s.Name, s.StartedAt.Format("15:04:05.000"), s.EndedAt.Sub(s.StartedAt).Round(time.Millisecond).String()+" "+deref(s.Error))
	}
	return rows
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (a *app) eventsCommand() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{Use: "events [ORG]", Short: "Show what happened outside orders: drift, foreign objects, taken ports", Args: cobra.MaximumNArgs(1)}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		org := ""
		if len(args) == 1 {
			org = args[0]
		}
		list, raw, err := upTo(a, limit, "events", func(cursor string, limit int) ([]client.Event, *string, error) {
			page, err := c.Events(cmd.Context(), org, cursor, limit)
			return page.Events, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string {
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
	return &cobra.Command{Use: "volumes [ORG]", Short: "List the volumes that Berth made and nobody ordered gone", Args: cobra.MaximumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		org := ""
		if len(args) == 1 {
			org = args[0]
		}
		list, raw, err := everyPage(a, "volumes", func(cursor string) ([]client.Volume, *string, error) {
			page, err := c.Volumes(cmd.Context(), org, cursor, 1000)
			return page.Volumes, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string {
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
