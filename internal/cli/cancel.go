package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

func (a *app) cancelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel ORG",
		Short: "Take back the order that is under way; the tenant goes back to what it was",
		Args:  cobra.ExactArgs(1),
	}
	var deployment string
	cmd.Flags().StringVar(&deployment, "deployment", "", "the order that is meant; nothing is cancelled if it is over (default whichever is under way)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		call := client.Call{IdempotencyKey: berth.NewID()}
		cancel := c.Cancel
		if deployment != "" {
			cancel = func(ctx context.Context, org string, call client.Call) (client.Cancelled, error) {
				return c.CancelDeployment(ctx, org, deployment, call)
			}
		}
		out, err := cancel(cmd.Context(), args[0], call)
		if err != nil {
			return err
		}
		for _, what := range out.NotUndone {
			_, _ = fmt.Fprintln(a.Stderr, printable(what))
		}
		return a.show(func() [][]string {
			return [][]string{{"ORGANIZATION", "CANCELLED", "DEPLOYMENT"}, {out.OrganizationID, out.DeploymentType, out.DeploymentID}}
		})
	}
	return cmd
}
