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
	undo       string // the command that takes it back, if it is not cancel
}

// longestWait is the default too: a command must not end well because it looked
// away.
const longestWait = 600

// oneWait is for how long one request waits: proxies give up on an answer after
// half a minute or a minute.
const oneWait = 25 * time.Second

// waitFlag lets a command wait for its order's end.
func (a *app) waitFlag(cmd *cobra.Command) {
	cmd.Flags().IntVar(&a.wait, "wait", longestWait, "seconds to wait for the end, 0 to 600; the order stands in any case, and exit code 6 says that it was not over")
}

// order gives an order once and waits for its end. The key makes it one order
// however often it is sent: on a terminal it is sent to get it going, followed,
// and sent again for the answer.
func (a *app) order(ctx context.Context, do func(context.Context, *client.Client, client.Call) (outcome, error)) (outcome, error) {
	if a.wait < 0 || a.wait > longestWait {
		return outcome{}, usagef("--wait must be between 0 and %d seconds; %d was given", longestWait, a.wait)
	}
	c, err := a.client()
	if err != nil {
		return outcome{}, err
	}
	key, end := berth.NewID(), time.Now().Add(time.Duration(a.wait)*time.Second)
	if a.Terminal && a.wait > 0 {
		out, err := do(ctx, c, client.Call{Wait: -1, IdempotencyKey: key})
		if err != nil || out.done {
			return out, err
		}
		if a.follow(ctx, c, out, end); ctx.Err() != nil {
			return out, errors.New("interrupted: the order stands; " + waysOn(out))
		}
	}
	out, err := await(ctx, c, key, end, do)
	switch {
	case errors.Is(err, context.Canceled):
		return out, errors.New("interrupted: if the order was taken, it stands; " + waysOn(outcome{org: "ORG", undo: out.undo}))
	case err == nil && !out.done:
		a.pending = a.wait > 0 // who does not wait asks for no verdict
		_, _ = fmt.Fprintf(a.Stderr, "still under way; %s\n", waysOn(out))
	}
	return out, err
}

// waysOn is what can be done about an order that is under way.
func waysOn(out outcome) string {
	undo := out.undo + " " + out.org
	if out.undo == "" { // by its id: it may be over by then, and another one under way
		undo = "cancel " + out.org + " --deployment " + out.deployment
	}
	return "follow it with: berth deployments " + out.org + "; take it back with: berth " + undo
}

// await sends the order until the answer tells how it ended, or the wait is over.
func await(ctx context.Context, c *client.Client, key string, end time.Time, do func(context.Context, *client.Client, client.Call) (outcome, error)) (outcome, error) {
	for {
		call := client.Call{Wait: -1, IdempotencyKey: key}
		left := time.Until(end).Round(time.Second)
		if left > 0 {
			call.Wait = min(left, oneWait)
		}
		if out, err := do(ctx, c, call); err != nil || out.done || left <= oneWait {
			return out, err
		}
		select { // whoever answered may not have waited
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
}

const followPause = 200 * time.Millisecond

// follow shows how far a deployment has come, until it is over or the waiting
// is.
func (a *app) follow(ctx context.Context, c *client.Client, out outcome, end time.Time) {
	defer func() { _, _ = fmt.Fprint(a.Stderr, "\r\x1b[K") }()
	begin := time.Now()
	for time.Now().Before(end) {
		d, err := c.Deployment(ctx, out.org, out.deployment)
		if ctx.Err() != nil || err != nil || d.Over() {
			return
		}
		_, _ = fmt.Fprintf(a.Stderr, "\r\x1b[K%s", progressLine(d, time.Since(begin)))
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
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

// changeCommand is a command that gives one order to one tenant and shows it, or
// tells what it would do. read makes the order of the flags.
func (a *app) changeCommand(use, short string, read func() (client.Order, error)) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	a.waitFlag(cmd)
	dry := dryRunFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := read()
		if err != nil {
			return err
		}
		if *dry {
			return a.dryRun(cmd.Context(), args[0], o)
		}
		var changed client.Changed
		_, err = a.order(cmd.Context(), func(ctx context.Context, c *client.Client, call client.Call) (out outcome, err error) {
			changed, err = c.Change(ctx, args[0], o, call)
			return outcome{org: args[0], deployment: changed.DeploymentID, done: changed.Done}, err
		})
		if err != nil {
			return err
		}
		return a.show(func() [][]string { return tenantRows([]client.Tenant{changed.Tenant}) })
	}
	return cmd
}
