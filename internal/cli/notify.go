package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

func (a *app) notifyCommand() *cobra.Command {
	cmd := group("notify", "Webhooks and mail addresses that are told of events")
	cmd.AddCommand(a.notifyAddCommand(), a.notifyLsCommand(), a.notifyRmCommand(), a.notifyDeliveriesCommand(), a.notifyTestCommand())
	return cmd
}

func (a *app) notifyAddCommand() *cobra.Command {
	var org, email string
	var kinds []string
	cmd := &cobra.Command{
		Use: "add URL | add --email ADDRESS", Short: "Have a webhook or a mail address told of events",
		Long: `Have a webhook or a mail address told of events.

For a webhook it prints the secret that its deliveries are signed with, this
once. Mail needs a mail server: see berth serve --smtp.`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case email != "" && len(args) > 0:
				return errors.New("give a URL or --email, not both")
			case email == "" && len(args) != 1:
				return errors.New("give one URL, or --email ADDRESS")
			}
			return nil
		},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		var n client.Notification
		if email != "" {
			n, err = c.AddEmailNotification(cmd.Context(), org, email, kinds)
		} else {
			n, err = c.AddNotification(cmd.Context(), org, args[0], kinds)
		}
		if err != nil {
			return err
		}
		return a.show(func() [][]string {
			if email != "" {
				return [][]string{{"ID", "TO"}, {n.ID, n.Address}}
			}
			return [][]string{{"ID", "SECRET"}, {n.ID, n.Secret}}
		})
	}
	cmd.Flags().StringVar(&email, "email", "", "mail address to send to, in place of a URL")
	cmd.Flags().StringVar(&org, "org", "", "only this organization's events (default all)")
	cmd.Flags().StringSliceVar(&kinds, "kinds", nil, "of "+strings.Join(berth.EventKinds(), ", ")+fmt.Sprintf(" (default the first %d)", len(berth.NotifiedKinds())))
	return cmd
}

func (a *app) notifyLsCommand() *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "List webhooks and addresses", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, raw, err := everyPage(a, "notifications", func(cursor string) ([]client.Notification, *string, error) {
			page, err := c.Notifications(cmd.Context(), cursor, 1000)
			return page.Notifications, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string {
			rows := [][]string{{"ID", "ORGANIZATION", "TO", "KINDS", "STATE", "LAST ERROR"}}
			for _, n := range list {
				rows = append(rows, []string{n.ID, orDash(n.OrganizationID), n.URL + n.Address, strings.Join(n.Kinds, ","), n.State, orDash(n.LastError)})
			}
			return rows
		})
	}}
}

func (a *app) notifyRmCommand() *cobra.Command {
	return &cobra.Command{Use: "rm ID", Short: "Forget a webhook or an address", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return c.DeleteNotification(cmd.Context(), args[0])
	}}
}

func (a *app) notifyDeliveriesCommand() *cobra.Command {
	limit := 100
	cmd := &cobra.Command{Use: "deliveries ID", Short: "Show what was sent, newest first", Args: cobra.ExactArgs(1)}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, raw, err := upTo(a, limit, "deliveries", func(cursor string, limit int) ([]client.Delivery, *string, error) {
			page, err := c.Deliveries(cmd.Context(), args[0], cursor, limit)
			return page.Deliveries, page.NextCursor, err
		})
		if err != nil {
			return err
		}
		return a.print(raw, func() [][]string {
			rows := [][]string{{"ID", "KIND", "STATE", "ATTEMPTS", "LAST", "ERROR"}}
			for _, d := range list {
				rows = append(rows, []string{d.ID, d.Kind, d.State, strconv.Itoa(d.Attempt), ago(time.Now(), d.At), orDash(d.Error)})
			}
			return rows
		})
	}
	return cmd
}

func (a *app) notifyTestCommand() *cobra.Command {
	return &cobra.Command{Use: "test ID", Short: "Send a test", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
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
