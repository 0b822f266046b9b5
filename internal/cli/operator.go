package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) registryCommand() *cobra.Command {
	cmd := group("registry", "Manage what opens registries")
	var username string
	var piped bool
	login := &cobra.Command{Use: "login HOST --username NAME", Short: "Store a credential; the password is asked for, or read from standard input", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		password, err := a.password(cmd.Context(), piped)
		if err != nil {
			return err
		}
		return c.PutRegistry(cmd.Context(), args[0], username, password)
	}}
	login.Flags().StringVarP(&username, "username", "u", "", "user name")
	login.Flags().BoolVar(&piped, "password-stdin", false, "never ask: the password is the first line of standard input")
	if err := login.MarkFlagRequired("username"); err != nil {
		panic(err) // the flag is defined above
	}
	ls := &cobra.Command{Use: "ls", Short: "List registries with a credential", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, raw, err := everyPage(a, "registries", func(cursor string) ([]client.Registry, *string, error) {
			page, err := c.Registries(cmd.Context(), cursor, 1000)
			return page.Registries, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string {
			rows := [][]string{{"REGISTRY", "USERNAME", "CHANGED"}}
			for _, r := range list {
				rows = append(rows, []string{r.Host, r.Username, ago(time.Now(), &r.UpdatedAt)})
			}
			return rows
		})
	}}
	logout := &cobra.Command{Use: "logout HOST", Short: "Forget a credential", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return c.DeleteRegistry(cmd.Context(), args[0])
	}}
	cmd.AddCommand(login, ls, logout)
	return cmd
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print what this binary is", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		text, commit, goVersion := versionText()
		data := map[string]string{"version": text, "commit": commit, "go": goVersion}
		return a.print(data, func() [][]string { return [][]string{{"berth " + text + " (" + goVersion + ")"}} })
	}}
}
