package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) userCommand() *cobra.Command {
	cmd := group("user", "Manage the people who may sign in")
	disable := a.userChange("disable", "End a user's sessions and let them sign in no more", client.UserChange{Disabled: yes()})
	enable := a.userChange("enable", "Let a user sign in again", client.UserChange{Disabled: new(bool)})
	promote := a.userChange("promote", "Make a user an operator of the whole installation", client.UserChange{Operator: yes()})
	demote := a.userChange("demote", "Make a user an operator no more", client.UserChange{Operator: new(bool)})
	cmd.AddCommand(a.userLsCommand(), a.userInviteCommand(), disable, enable, promote, demote, a.invitationsCommand(), a.uninviteCommand())
	return cmd
}

func yes() *bool {
	b := true
	return &b
}

func (a *app) userLsCommand() *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "List users", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		all, raw, err := everyPage(a, "users", func(cursor string) ([]client.User, *string, error) {
			page, err := c.Users(cmd.Context(), cursor, 1000)
			return page.Users, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string {
			rows := [][]string{{"ID", "EMAIL", "NAME", "ROLE", "CREATED", "STATE"}}
			for _, u := range all {
				rows = append(rows, userRow(u))
			}
			return rows
		})
	}}
}

func userRow(u client.User) []string {
	role, state := "-", "enabled"
	if u.Operator {
		role = "operator"
	}
	if u.DisabledAt != nil {
		state = "disabled"
	}
	return []string{u.ID, u.Email, u.Name, role, ago(time.Now(), &u.CreatedAt), state}
}

func (a *app) userChange(name, short string, change client.UserChange) *cobra.Command {
	return &cobra.Command{Use: name + " ID", Short: short, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		u, err := c.UpdateUser(cmd.Context(), args[0], change)
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return [][]string{userRow(u)} })
	}}
}

func (a *app) userInviteCommand() *cobra.Command {
	var in client.NewInvitation
	var org string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "invite EMAIL", Short: "Invite somebody and print the invitation, this once", Args: cobra.ExactArgs(1),
		Long: `Invite somebody and print the invitation, this once.

With --org they become what --role says in that organization, without it an
operator. Only who proves to have the address can accept it, once.`,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if org == "" && in.Role != "" {
			return usagef("--role needs --org: whoever is invited without one becomes an operator")
		}
		if org != "" && in.Role == "" {
			in.Role = "member"
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		in.Email = args[0]
		if in.ExpiresAt, err = until(cmd, expires); err != nil {
			return err
		}
		i, err := c.Invite(cmd.Context(), org, in)
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return [][]string{{i.Text}} })
	}
	f := cmd.Flags()
	f.StringVar(&org, "org", "", "id of the organization to invite to (default the installation)")
	f.StringVar(&in.Role, "role", "", "admin, member or deployer of the organization (default member)")
	f.DurationVar(&expires, "expires", 0, "how long it is valid, up to 720h (default 168h)")
	return cmd
}

func (a *app) invitationsCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{Use: "invitations", Short: "List invitations", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&org, "org", "", "id of the organization whose they are (default the installation)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		all, raw, err := everyPage(a, "invitations", func(cursor string) ([]client.Invitation, *string, error) {
			page, err := c.Invitations(cmd.Context(), org, cursor, 1000)
			return page.Invitations, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string { return invitationRows(time.Now(), all) })
	}
	return cmd
}

func invitationRows(now time.Time, list []client.Invitation) [][]string {
	rows := [][]string{{"ID", "EMAIL", "ROLE", "CREATED", "STATE"}}
	for _, i := range list {
		state := "open"
		switch {
		case i.AcceptedAt != nil:
			state = "accepted"
		case i.RevokedAt != nil:
			state = "revoked"
		case i.ExpiresAt.Before(now):
			state = "expired"
		}
		rows = append(rows, []string{i.ID, i.Email, i.Role, ago(now, &i.CreatedAt), state})
	}
	return rows
}

func (a *app) uninviteCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{Use: "uninvite ID", Short: "Revoke an invitation", Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&org, "org", "", "id of the organization whose it is (default the installation)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return c.RevokeInvitation(cmd.Context(), org, args[0])
	}
	return cmd
}

func (a *app) memberCommand() *cobra.Command {
	cmd := group("member", "Manage an organization's members")
	ls := &cobra.Command{Use: "ls ORG-ID", Short: "List an organization's members", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		all, raw, err := everyPage(a, "members", func(cursor string) ([]client.Member, *string, error) {
			page, err := c.Members(cmd.Context(), args[0], cursor, 1000)
			return page.Members, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string {
			rows := [][]string{{"USER", "EMAIL", "NAME", "ROLE", "SINCE"}}
			for _, m := range all {
				rows = append(rows, memberRow(m))
			}
			return rows
		})
	}}
	set := &cobra.Command{Use: "set ORG-ID USER-ID ROLE", Short: "Make a user an admin, a member or a deployer of an organization", Args: cobra.ExactArgs(3), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		m, err := c.PutMember(cmd.Context(), args[0], args[1], args[2])
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return [][]string{memberRow(m)} })
	}}
	rm := &cobra.Command{Use: "rm ORG-ID USER-ID", Short: "End a membership", Args: cobra.ExactArgs(2), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return c.RemoveMember(cmd.Context(), args[0], args[1])
	}}
	cmd.AddCommand(ls, set, rm)
	return cmd
}

func memberRow(m client.Member) []string {
	return []string{m.UserID, m.Email, m.Name, m.Role, ago(time.Now(), &m.CreatedAt)}
}
