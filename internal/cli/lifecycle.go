package cli

import (
	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) startCommand() *cobra.Command {
	return a.changeCommand("start ORG", "Start a tenant", func() (client.Order, error) {
		return client.Start{}, nil
	})
}

func (a *app) stopCommand() *cobra.Command {
	return a.changeCommand("stop ORG", "Stop a tenant; its data stays", func() (client.Order, error) {
		return client.Stop{}, nil
	})
}

func (a *app) restartCommand() *cobra.Command {
	return a.changeCommand("restart ORG", "Stop a tenant's containers and start them again", func() (client.Order, error) {
		return client.Restart{}, nil
	})
}
