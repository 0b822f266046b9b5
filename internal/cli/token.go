package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := group("token", "Manage API tokens")
	revoke := &cobra.Command{Use: "revoke ID", Short: "End a token for good", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return c.RevokeToken(cmd.Context(), args[0])
	}}
	cmd.AddCommand(a.tokenCreateCommand(), a.tokenLsCommand(), revoke)
	return cmd
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var in client.NewToken
	var expires time.Duration
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a token and print it, this once", Args: cobra.ExactArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		in.Name = args[0]
		if in.ExpiresAt, err = until(cmd, expires); err != nil {
			return err
		}
		t, err := c.CreateToken(cmd.Context(), in)
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return [][]string{{t.Text}} })
	}
	f := cmd.Flags()
	f.StringVar(&in.Role, "role", "", "operator, admin, member or deployer (default operator)")
	f.StringVar(&in.OrganizationID, "org", "", "id of the organization whose token it is (default your own)")
	f.StringSliceVar(&in.Scopes, "scope", nil, "what it may do of what its role may, such as read; repeatable (default all of it)")
	f.DurationVar(&expires, "expires", 0, "how long it is valid, such as 720h (default for ever)")
	return cmd
}

// until is when --expires from now is; nil if it was not given.
func until(cmd *cobra.Command, expires time.Duration) (*time.Time, error) {
	if !cmd.Flags().Changed("expires") {
		return nil, nil
	}
	if expires <= 0 {
		return nil, usagef("--expires must be more than 0; %s was given", expires)
	}
	t := time.Now().Add(expires)
	return &t, nil
}

func (a *app) tokenLsCommand() *cobra.Command {
	f := client.TokenFilter{Limit: 1000}
	cmd := &cobra.Command{Use: "ls", Short: "List the tokens that you may manage", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&f.OrganizationID, "org", "", "only this organization's")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		all, raw, err := everyPage(a, "tokens", func(cursor string) ([]client.Token, *string, error) {
			f.Cursor = cursor
			page, err := c.Tokens(cmd.Context(), f)
			return page.Tokens, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string { return tokenRows(time.Now(), all) })
	}
	return cmd
}

func tokenRows(now time.Time, list []client.Token) [][]string {
	rows := [][]string{{"ID", "NAME", "PREFIX", "ROLE", "ORGANIZATION", "SCOPES", "CREATED", "LAST USED", "STATE"}}
	for _, t := range list {
		state, scopes := "valid", "all"
		switch {
		case t.RevokedAt != nil:
			state = "revoked"
		case t.ExpiresAt != nil && t.ExpiresAt.Before(now):
			state = "expired"
		}
		if len(t.Scopes) > 0 {
			scopes = strings.Join(t.Scopes, ",")
		}
		rows = append(rows, []string{t.ID, t.Name, t.Prefix + "…", t.Role, orDash(t.OrganizationID), scopes, ago(now, &t.CreatedAt), ago(now, t.LastUsedAt), state})
	}
	return rows
}
