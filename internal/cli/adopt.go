package cli

import (
	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) adoptCommand() *cobra.Command {
	cmd := a.changeCommand("adopt ORG", "Take a tenant back that compose ran from its rendered file", func() (client.Order, error) {
		return client.Adopt{}, nil
	})
	cmd.Long = `Take a tenant back that compose ran from its rendered file while Berth was
stopped: the containers that compose made are replaced by Berth's, with the same
volumes, and started.`
	return cmd
}
