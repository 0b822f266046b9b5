package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) logsCommand() *cobra.Command {
	o := client.LogOptions{Tail: 100}
	var since time.Duration
	raw := false
	cmd := &cobra.Command{Use: "logs ORG", Short: "Show what a tenant's containers wrote", Args: cobra.ExactArgs(1)}
	cmd.Long = `Show what a tenant's containers wrote.

On a terminal, control characters are shown and not passed on: what a tenant
writes could otherwise steer it. --raw passes them on, colours among them.
Elsewhere all comes as it was written.`
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on as more is written")
	cmd.Flags().IntVar(&o.Tail, "tail", o.Tail, "lines from the end of each container's log; -1 for all")
	cmd.Flags().DurationVar(&since, "since", 0, "only what is younger, such as 10m")
	cmd.Flags().BoolVar(&raw, "raw", false, "pass control characters on to a terminal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		if since > 0 {
			o.Since = time.Now().Add(-since)
		}
		r, err := c.Logs(cmd.Context(), args[0], o)
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		out := a.text()
		if raw {
			out = a.Stdout
		}
		_, err = io.Copy(out, r)
		if errors.Is(err, context.Canceled) { // Ctrl-C is how following ends
			return nil
		}
		return err
	}
	return cmd
}

func (a *app) openapiCommand() *cobra.Command {
	return &cobra.Command{Use: "openapi", Short: "Print the API's description (OpenAPI 3.1)", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		data, err := c.OpenAPI(cmd.Context())
		if err != nil {
			return err
		}
		_, err = a.text().Write(data)
		return err
	}}
}
