package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) deprovisionCommand() *cobra.Command {
	var volumes string
	var yes bool
	cmd := &cobra.Command{
		Use:   "deprovision ORG",
		Short: "Remove a tenant; its volumes are kept unless ordered gone",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&volumes, "volumes", "keep", "what becomes of the tenant's data: keep or delete")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask; without a terminal, --volumes delete needs it")
	a.waitFlag(cmd)
	dry := dryRunFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if volumes != "keep" && volumes != "delete" {
			return usagef("--volumes must be keep or delete; %q was given", volumes)
		}
		if *dry {
			return a.dryRun(cmd.Context(), args[0], client.Deprovision{Volumes: volumes})
		}
		switch {
		case yes:
		case a.Terminal && !a.confirm(cmd.Context(), args[0], volumes):
			return refusedError{errors.New("nothing was removed")}
		case !a.Terminal && volumes == "delete":
			return refusedError{errors.New("nothing was removed: to delete a tenant's data without being asked, add --yes")}
		}
		var gone client.Deprovisioned
		_, err := a.order(cmd.Context(), func(ctx context.Context, c *client.Client, call client.Call) (out outcome, err error) {
			gone, err = c.Deprovision(ctx, args[0], volumes, call)
			return outcome{org: args[0], deployment: gone.DeploymentID, done: gone.Done}, err
		})
		if err != nil {
			return err
		}
		return a.show(func() [][]string {
			state := "gone"
			if !gone.Done {
				state = "being removed"
			}
			return [][]string{{"ORGANIZATION", "STATUS", "VOLUMES"}, {gone.OrganizationID, state, kept(volumes)}}
		})
	}
	return cmd
}

func kept(volumes string) string {
	if volumes == "delete" {
		return "deleted"
	}
	return "kept"
}

func (a *app) confirm(ctx context.Context, org, volumes string) bool {
	what := "its data is kept"
	if volumes == "delete" {
		what = "ITS DATA IS DELETED"
	}
	_, _ = fmt.Fprintf(a.Stderr, "Remove tenant %s? %s. Type yes: ", printable(org), what)
	answer, _ := a.line(ctx)
	return strings.TrimSpace(answer) == "yes"
}
