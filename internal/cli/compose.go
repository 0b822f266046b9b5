package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) composeCommand() *cobra.Command {
	secrets := false
	cmd := &cobra.Command{
		Use: "compose ORG", Short: "Print a tenant's rendered compose file", Args: cobra.ExactArgs(1),
		Long: `Print a tenant's rendered compose file. It refers to the tenant's own variables
by name and holds none of their values.

With --with-secrets, Berth writes the values beside the file on its own machine,
in .env (mode 0600), so that compose can run the tenant without Berth. They are
not sent here; what is printed is where both files lie.`,
	}
	cmd.Flags().BoolVar(&secrets, "with-secrets", false, "write the variables' values beside the file, on Berth's machine")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		if !secrets {
			data, err := c.Compose(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = a.text().Write(data)
			return err
		}
		files, err := c.WriteComposeEnv(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		err = a.show(func() [][]string {
			return [][]string{{"compose file", files.ComposePath}, {"variables", files.EnvPath}}
		})
		if err != nil || a.output == "json" {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "\nWith Berth stopped, on its machine:\n  docker-compose -f %s up -d\n", shellWord(printable(files.ComposePath)))
		return err
	}
	return cmd
}

// shellWord quotes s for a shell if it needs that.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
