package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/client"
)

func (a *app) topCommand() *cobra.Command {
	sort, once := "cpu", false
	cmd := &cobra.Command{Use: "top", Short: "Show what every tenant uses now, live on a terminal", Args: cobra.NoArgs}
	cmd.Long = `Show what every tenant uses now, the highest first.

On a terminal it is drawn anew every two seconds; q or Ctrl-C ends it, and
c, m, n, r and a sort by cpu, memory, network, requests and name. Elsewhere it is
one table, whose counters began when Berth did.`
	cmd.Flags().StringVar(&sort, "sort", sort, "cpu, memory, network, requests or name")
	cmd.Flags().BoolVar(&once, "once", false, "one table, also on a terminal")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains([]string{"cpu", "memory", "network", "requests", "name"}, sort) {
			return usagef("--sort must be cpu, memory, network, requests or name; %q was given", sort)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		screen := screenOf(a.Stdin, a.Stdout)
		if once || a.output == "json" || screen == nil {
			list, raw, err := a.fleet(cmd.Context(), c, sort)
			if err != nil {
				return err
			}
			return a.print(raw, func() [][]string { return topRows(list) })
		}
		return screen.run(cmd.Context(), func(ctx context.Context, keys <-chan byte) error {
			v := topView{sort: sort, fetch: func(ctx context.Context) ([]client.Metrics, error) {
				list, _, err := a.fleet(ctx, c, "name")
				return list, err
			}, size: screen.size, draw: screen.draw, now: time.Now}
			return v.run(ctx, keys)
		})
	}
	return cmd
}

// topKey chooses an order on a terminal; "" for a key that chooses none.
func topKey(key byte) string {
	switch key {
	case 'c':
		return "cpu"
	case 'm':
		return "memory"
	case 'n':
		return "network"
	case 'r':
		return "requests"
	case 'a':
		return "name"
	default:
		return ""
	}
}

// value is what an order goes by: the largest comes first, nil last. Names
// decide between equals, and alone in the order "name".
func (l topLine) value(order string) *float64 {
	switch order {
	case "cpu":
		return l.CPUPercent
	case "memory":
		return l.MemoryUsageMB
	case "network":
		return add(l.rx, l.tx)
	case "requests":
		return l.requests
	default:
		return nil
	}
}

func add(a, b *float64) *float64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	sum := *a + *b
	return &sum
}

// fleet returns every tenant's figures, and the API's pages in one.
func (a *app) fleet(ctx context.Context, c *client.Client, sort string) ([]client.Metrics, joined, error) {
	list, raw, err := everyPage(a, "tenants", func(cursor string) ([]client.Metrics, *string, error) {
		page, err := c.FleetUsage(ctx, sort, cursor, largestPage)
		return page.Tenants, page.NextCursor, err
	})
	if err != nil {
		return nil, raw, err
	}
	once, seen := raw, map[string]bool{}
	once.items = []json.RawMessage{}
	var all []client.Metrics
	for i, m := range list {
		if !seen[m.OrganizationID] { // figures change between pages
			seen[m.OrganizationID] = true
			all, once.items = append(all, m), append(once.items, raw.items[i])
		}
	}
	return all, once, nil
}

func topRows(list []client.Metrics) [][]string {
	rows := [][]string{{"SLUG", "STATUS", "HEALTH", "CPU", "MEMORY", "LIMIT", "PIDS", "RX", "TX", "REQUESTS", "ERRORS"}}
	for _, m := range list {
		rows = append(rows, []string{
			m.Slug, m.Status, m.HealthStatus, percentCell(m.CPUPercent), megabyteCell(m.MemoryUsageMB), megabyteCell(m.MemoryLimitMB),
			countCell(m.Pids), byteCell(m.NetworkRxBytes), byteCell(m.NetworkTxBytes), countCell(m.RequestCount), countCell(m.ErrorCount),
		})
	}
	return rows
}

// topLine is a tenant with what its counters rose by, each second.
type topLine struct {
	client.Metrics
	rx, tx, requests, errors *float64
}

// topView is the live table.
type topView struct {
	sort  string
	fetch func(context.Context) ([]client.Metrics, error)
	size  func() (width, height int)
	draw  func(lines []string) error
	now   func() time.Time

	lines map[string]topLine // by organization, as last read
	err   error              // of the last fetch
}

// topEvery is how often the live table is drawn anew.
const topEvery = 2 * time.Second

// fetched is the outcome of one fetch.
type fetched struct {
	list []client.Metrics
	err  error
}

// run draws until q, Ctrl-C, or ctx ends. Only the first fetch must succeed:
// later ones may fail as long as a Berth is restarted. A fetch that hangs does
// not keep keys waiting, and no other one is begun meanwhile.
func (v *topView) run(ctx context.Context, keys <-chan byte) error {
	tick := time.NewTicker(topEvery)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan fetched, 1)
	fetch := func() {
		go func() {
			list, err := v.fetch(ctx)
			answers <- fetched{list, err}
		}()
	}
	fetch()
	under := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if !under {
				fetch()
				under = true
			}
			continue
		case f := <-answers:
			under = false
			if f.err != nil && v.lines == nil {
				return f.err
			}
			v.take(f)
		case key, open := <-keys:
			const ctrlC, ctrlD = 3, 4
			switch {
			case !open:
				keys = nil // standard input ended; the table goes on
			case key == 'q' || key == ctrlC || key == ctrlD:
				return nil
			case topKey(key) != "":
				v.sort = topKey(key)
			}
		}
		if err := v.draw(v.frame()); err != nil {
			return err
		}
	}
}

// take makes rates of what was fetched and what was before.
func (v *topView) take(f fetched) {
	if v.err = f.err; f.err != nil {
		return
	}
	lines := make(map[string]topLine, len(f.list))
	for _, m := range f.list {
		l := topLine{Metrics: m}
		if before, ok := v.lines[m.OrganizationID]; ok && before.ReadAt != nil && m.ReadAt != nil {
			if m.ReadAt.Equal(*before.ReadAt) { // not read anew: the rates stand
				l.rx, l.tx, l.requests, l.errors = before.rx, before.tx, before.requests, before.errors
			} else {
				seconds := m.ReadAt.Sub(*before.ReadAt).Seconds()
				l.rx, l.tx = rate(before.NetworkRxBytes, m.NetworkRxBytes, seconds), rate(before.NetworkTxBytes, m.NetworkTxBytes, seconds)
				l.requests, l.errors = rate(before.RequestCount, m.RequestCount, seconds), rate(before.ErrorCount, m.ErrorCount, seconds)
			}
		}
		lines[m.OrganizationID] = l
	}
	v.lines = lines
}

// rate is nil where a counter is not known, or began anew.
func rate(before, after *int64, seconds float64) *float64 {
	if before == nil || after == nil || *after < *before || seconds <= 0 {
		return nil
	}
	r := float64(*after-*before) / seconds
	return &r
}

// frame is the screen's content. It fits the terminal.
func (v *topView) frame() []string {
	width, height := v.size()
	sorted := make([]topLine, 0, len(v.lines))
	for _, l := range v.lines {
		sorted = append(sorted, l)
	}
	slices.SortFunc(sorted, func(a, b topLine) int {
		return cmp.Or(compareKnown(b.value(v.sort), a.value(v.sort)), cmp.Compare(a.Slug, b.Slug), cmp.Compare(a.OrganizationID, b.OrganizationID))
	})
	head := fmt.Sprintf("%s  %d tenants, by %s", v.now().Format(time.TimeOnly), len(sorted), v.sort)
	note := "c cpu  m memory  n network  r requests  a name  q quit"
	if v.err != nil {
		note = "stale: " + v.err.Error()
	}
	shown := sorted[:min(len(sorted), max(0, height-4))]
	lines := append([]string{head, note, ""}, table(topLineRows(shown))...)
	lines = lines[:min(len(lines), max(1, height))]
	for i, l := range lines {
		// The last column stays free: clearing the rest of a line that fills it
		// would take its last character.
		text := []rune(printable(l))
		lines[i] = string(text[:min(len(text), max(0, width-1))])
	}
	return lines
}

// compareKnown orders nil before every number.
func compareKnown(a, b *float64) int {
	if a == nil || b == nil {
		known := map[bool]int{true: 1}
		return known[a != nil] - known[b != nil]
	}
	return cmp.Compare(*a, *b)
}

func topLineRows(list []topLine) [][]string {
	rows := [][]string{{"SLUG", "STATUS", "HEALTH", "CPU", "MEMORY", "LIMIT", "PIDS", "RX/S", "TX/S", "REQ/S", "ERR/S"}}
	flow := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return bytesText(*v)
	}
	for _, l := range list {
		rows = append(rows, []string{
			l.Slug, l.Status, l.HealthStatus, percentCell(l.CPUPercent), megabyteCell(l.MemoryUsageMB), megabyteCell(l.MemoryLimitMB),
			countCell(l.Pids), flow(l.rx), flow(l.tx), numberCell(l.requests), numberCell(l.errors),
		})
	}
	return rows
}

// table aligns rows and returns them as lines.
func table(rows [][]string) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // a Builder takes everything
	}
	_ = w.Flush()
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}
