package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth"
)

func (a *app) notifyCommand() *cobra.Command {
	cmd := group("notify", "Webhooks that are told of events")
	cmd.AddCommand(a.notifyAddCommand(), a.notifyLsCommand(), a.notifyRmCommand(), a.notifyDeliveriesCommand(), a.notifyTestCommand())
	return cmd
}

func (a *app) notifyAddCommand() *cobra.Command {
	var org string
	var kinds []string
	cmd := &cobra.Command{Use: "add URL", Short: "Have a webhook told of events; prints the secret that signs them, this once", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		n, err := c.AddNotification(cmd.Context(), org, args[0], kinds)
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return [][]string{{"ID", "SECRET"}, {n.ID, n.Secret}} })
	}}
	cmd.Flags().StringVar(&org, "org", "", "only this organization's events (default all)")
	cmd.Flags().StringSliceVar(&kinds, "kinds", nil, "of "+strings.Join(berth.EventKinds(), ", ")+" (default the first six)")
	return cmd
}

func (a *app) notifyLsCommand() *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "List webhooks", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, err := c.Notifications(cmd.Context())
		if err != nil {
			return err
		}
		return a.show(func() [][]string {
			rows := [][]string{{"ID", "ORGANIZATION", "URL", "KINDS", "STATE", "LAST ERROR"}}
			for _, n := range list {
				rows = append(rows, []string{n.ID, orDash(n.OrganizationID), n.URL, strings.Join(n.Kinds, ","), n.State, orDash(n.LastError)})
			}
			return rows
		})
	}}
}

func (a *app) notifyRmCommand() *cobra.Command {
	return &cobra.Command{Use: "rm ID", Short: "Forget a webhook", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return c.DeleteNotification(cmd.Context(), args[0])
	}}
}

func (a *app) notifyDeliveriesCommand() *cobra.Command {
	return &cobra.Command{Use: "deliveries ID", Short: "Show what a webhook was sent, newest first", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, err := c.Deliveries(cmd.Context(), args[0], 0)
		if err != nil {
			return err
		}
		return a.show(func() [][]string {
			rows := [][]string{{"ID", "KIND", "STATE", "ATTEMPTS", "LAST", "ERROR"}}
			for _, d := range list {
				rows = append(rows, []string{d.ID, d.Kind, d.State, strconv.Itoa(d.Attempt), ago(time.Now(), d.At), orDash(d.Error)})
			}
			return rows
		})
	}}
}

func (a *app) notifyTestCommand() *cobra.Command {
	return &cobra.Command{Use: "test ID", Short: "Send a test to a webhook", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		d, err := c.TestNotification(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return [][]string{{"DELIVERY", "STATE"}, {d.ID, d.State}} })
	}}
}
