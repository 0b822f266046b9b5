package cli

import (
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
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		out, err := c.Cancel(cmd.Context(), args[0], client.Call{IdempotencyKey: berth.NewID()})
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
