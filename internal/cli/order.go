package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/client"
)

// outcome is the answer to an order.
type outcome struct {
	org        string
	deployment string
	done       bool
}

// waitFlag lets a command wait for its order's end.
func (a *app) waitFlag(cmd *cobra.Command) {
	cmd.Flags().IntVar(&a.wait, "wait", 60, "seconds to wait for the end; the order stands in any case")
}

// order gives an order once and waits for its end. The key makes it one order
// however often it is sent: on a terminal it is sent to get it going, followed,
// and sent again for the answer.
func (a *app) order(ctx context.Context, do func(context.Context, *client.Client, client.Call) (outcome, error)) (outcome, error) {
	if a.wait < 0 || a.wait > 600 {
		return outcome{}, usagef("--wait must be between 0 and 600 seconds; %d was given", a.wait)
	}
	c, err := a.client()
	if err != nil {
		return outcome{}, err
	}
	call := client.Call{Wait: time.Duration(a.wait) * time.Second, IdempotencyKey: berth.NewID()}
	if a.wait == 0 {
		call.Wait = -1
	}
	if a.Terminal && a.wait > 0 {
		out, err := do(ctx, c, client.Call{Wait: -1, IdempotencyKey: call.IdempotencyKey})
		if err != nil || out.done {
			return out, err
		}
		switch a.follow(ctx, c, out) {
		case ended: // the answer tells how
		case expired:
			call.Wait = -1
		case interrupted:
			return out, fmt.Errorf("interrupted: the order stands; follow it with: berth deployments %s", out.org)
		}
	}
	out, err := do(ctx, c, call)
	switch {
	case errors.Is(err, context.Canceled):
		return out, errors.New("interrupted: if the order was taken, it stands; follow it with: berth deployments ORG")
	case err == nil && !out.done:
		_, _ = fmt.Fprintf(a.Stderr, "still under way; follow it with: berth deployments %s\n", out.org)
	}
	return out, err
}

// followed is why following a deployment ended.
type followed int

const (
	ended followed = iota
	expired
	interrupted
)

const followPause = 200 * time.Millisecond

// follow shows how far a deployment has come, until it is over or the waiting
// is.
func (a *app) follow(ctx context.Context, c *client.Client, out outcome) followed {
	defer func() { _, _ = fmt.Fprint(a.Stderr, "\r\x1b[K") }()
	begin := time.Now()
	for time.Since(begin) < time.Duration(a.wait)*time.Second {
		d, err := c.Deployment(ctx, out.org, out.deployment)
		switch {
		case ctx.Err() != nil:
			return interrupted
		case err != nil || d.Over():
			return ended
		}
		_, _ = fmt.Fprintf(a.Stderr, "\r\x1b[K%s", progressLine(d, time.Since(begin)))
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
	return expired
}

func progressLine(d client.Deployment, since time.Duration) string {
	step := "waiting"
	if d.Step != nil {
		step = printable(*d.Step)
	}
	line := fmt.Sprintf("%s: %s, %d s", d.DeploymentType, step, int(since.Seconds()))
	if d.ProgressTotal > 0 {
		line += fmt.Sprintf(", %.1f of %.1f MB", float64(d.ProgressDone)/berth.BytesPerMB, float64(d.ProgressTotal)/berth.BytesPerMB)
	}
	return line
}

// changeCommand is a command that gives one order to one tenant and shows it.
func (a *app) changeCommand(use, short string, do func(ctx context.Context, c *client.Client, org string, call client.Call) (client.Changed, error)) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	a.waitFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var changed client.Changed
		_, err := a.order(cmd.Context(), func(ctx context.Context, c *client.Client, call client.Call) (out outcome, err error) {
			changed, err = do(ctx, c, args[0], call)
			return outcome{org: args[0], deployment: changed.DeploymentID, done: changed.Done}, err
		})
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return tenantRows([]client.Tenant{changed.Tenant}) })
	}
	return cmd
}
