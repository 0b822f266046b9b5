package cli

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func dryRunFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("dry-run", false, "change nothing; show the steps that would be taken, what stops, and for how long requests wait at most")
}

// dryRun shows what an order would do. One that would fail ends as a failure, so
// that a script stops there.
func (a *app) dryRun(ctx context.Context, org string, o client.Order) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	f, err := c.DryRun(ctx, org, o)
	if err != nil {
		return err
	}
	if err := a.showForecast(f); err != nil {
		return err
	}
	if f.Failure != nil {
		return fmt.Errorf("it would fail: %s", printable(*f.Failure))
	}
	return nil
}

func (a *app) showForecast(f client.Forecast) error {
	if a.output != "json" && len(f.Changes) > 0 {
		changes := [][]string{{"FIELD", "NOW", "THEN"}}
		for _, c := range f.Changes {
			changes = append(changes, []string{c.Field, orDash(c.From), orDash(c.To)})
		}
		if err := a.print(nil, func() [][]string { return changes }); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(a.Stdout)
	}
	err := a.show(func() [][]string {
		rows := [][]string{{"STEP", "WHAT", "STOPS", "REQUESTS", "AT MOST"}}
		for _, s := range f.Steps {
			stops, requests := "-", "-"
			if s.Stops {
				stops = "yes"
			}
			if s.Holds {
				requests = "wait"
			}
			rows = append(rows, []string{s.Name, s.Text, stops, requests, atMost(s.AtMostSeconds)})
		}
		return rows
	})
	if err != nil || a.output == "json" {
		return err
	}
	for _, line := range f.LeftBehind {
		_, _ = fmt.Fprintf(a.Stdout, "\nData left behind: %s.\n", printable(line))
	}
	_, err = fmt.Fprintf(a.Stdout, "\n%s Nothing was changed.\n", inShort(f))
	return err
}

// inShort sums up what an order would mean for whoever uses the tenant.
func inShort(f client.Forecast) string {
	var s []string
	switch held := f.HeldAtMostSeconds > 0; {
	case f.Failure != nil:
	case f.Downtime && !f.ServesAfter:
		s = append(s, "Requests are refused from then on.")
	case f.Downtime && held:
		s = append(s, "Downtime: requests wait, for at most "+atMost(f.HeldAtMostSeconds)+" in all; one that waits for longer than --hold of serve is answered 503.")
	case f.Downtime:
		s = append(s, "Downtime: requests are refused meanwhile.")
	case f.ServedBefore:
		s = append(s, "No downtime: requests are answered all the time.")
	case f.ServesAfter:
		s = append(s, "Requests are not answered now, and will be.")
	default:
		s = append(s, "Requests are not answered, neither now nor then.")
	}
	if f.Failure == nil {
		s = append(s, "All of it takes at most "+atMost(f.TotalAtMostSeconds)+", and mostly far less.")
	}
	return strings.Join(s, " ")
}

// atMost is a bound, rounded up to whole seconds; "-" for what is done at once.
func atMost(seconds float64) string {
	n := int(math.Ceil(seconds))
	switch {
	case n == 0:
		return "-"
	case n < 60:
		return fmt.Sprintf("%d s", n)
	case n%60 == 0:
		return fmt.Sprintf("%d min", n/60)
	default:
		return fmt.Sprintf("%d min %d s", n/60, n%60)
	}
}
