package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) startCommand() *cobra.Command {
	return a.changeCommand("start ORG", "Start a tenant", func(ctx context.Context, c *client.Client, org string, call client.Call) (client.Changed, error) {
		return c.Start(ctx, org, call)
	})
}

func (a *app) stopCommand() *cobra.Command {
	return a.changeCommand("stop ORG", "Stop a tenant; its data stays", func(ctx context.Context, c *client.Client, org string, call client.Call) (client.Changed, error) {
		return c.Stop(ctx, org, call)
	})
}

func (a *app) restartCommand() *cobra.Command {
	return a.changeCommand("restart ORG", "Stop a tenant's containers and start them again", func(ctx context.Context, c *client.Client, org string, call client.Call) (client.Changed, error) {
		return c.Restart(ctx, org, call)
	})
}
