package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) organizationCommand() *cobra.Command {
	cmd := group("organization", "Manage customers, and what their own people may do")
	cmd.Aliases = []string{"org"}
	allow := a.organizationChange("allow ID ACTION,...", "Let an organization's own admins do this to its tenant: start, stop, deploy, configure", cobra.ExactArgs(2),
		func(args []string) []string { return strings.Split(args[1], ",") })
	deny := a.organizationChange("deny ID", "Let an organization's own admins only look", cobra.ExactArgs(1),
		func([]string) []string { return []string{} })
	cmd.AddCommand(a.organizationLsCommand(), a.organizationShowCommand(), allow, deny)
	return cmd
}

func organizationRows(list ...client.Organization) [][]string {
	rows := [][]string{{"ID", "NAME", "SELF-SERVICE", "CREATED"}}
	for _, o := range list {
		rows = append(rows, []string{o.ID, o.Name, orNone(strings.Join(o.SelfService, ",")), ago(time.Now(), &o.CreatedAt)})
	}
	return rows
}

func (a *app) organizationLsCommand() *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "List organizations", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, raw, err := everyPage(a, "organizations", func(cursor string) ([]client.Organization, *string, error) {
			page, err := c.Organizations(cmd.Context(), cursor, 1000)
			return page.Organizations, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string { return organizationRows(list...) })
	}}
}

func (a *app) organizationShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show one organization", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		o, err := c.Organization(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return organizationRows(o) })
	}}
}

// organizationChange says what an organization may do itself; the list given
// takes the place of the one before.
func (a *app) organizationChange(use, short string, args cobra.PositionalArgs, actions func(args []string) []string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		allowed := actions(args)
		o, err := c.PutOrganization(cmd.Context(), args[0], client.PutOrganization{SelfService: &allowed})
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return organizationRows(o) })
	}}
}
