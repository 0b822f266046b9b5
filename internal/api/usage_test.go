package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// meter and its history are a fake: package meter has its own tests.
type meter map[string]berth.Reading

func (m meter) Now(org string) (berth.Reading, bool) { r, ok := m[org]; return r, ok }

func (m meter) Readings() (list []berth.Reading) {
	for _, r := range m {
		list = append(list, r)
	}
	return list
}

// history stores what tenants used.
func (w *world) history(list ...berth.Usage) {
	w.t.Helper()
	err := w.store.InTx(context.Background(), berth.System(), func(tx store.Tx) error { return tx.PutUsage(context.Background(), list) })
	if err != nil {
		w.t.Fatal(err)
	}
}

func newMeteredWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for i, org := range []string{one, two} {
		a := w.ask("POST", "/api/tenants/provision", fmt.Sprintf(`{"organizationId":%q,"tenantName":"T %d","slug":"t%d","imageTag":"app:1"}`, org, i+1, i+1))
		if a.status != http.StatusCreated {
			t.Fatal(a.body)
		}
	}
	return w
}

func TestWhatIsNotMeasuredIsRefusedNotMadeUp(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	for _, path := range []string{"/api/usage", "/api/tenants/t1/metrics"} {
		if p := w.wantProblem(w.ask("GET", path, ""), http.StatusUnprocessableEntity, path); p["code"] != "not_supported_yet" {
			t.Errorf("%s: %v", path, p["code"])
		}
	}
}

func TestUnknownFiguresAreNull(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	w.metered(meter{one: {
		OrganizationID: one, At: time.Now(), Containers: 2, CPUPercent: berth.Known(12.345), MemoryBytes: berth.Known(int64(3 << 19)),
		NetworkRx: berth.Known(int64(0)), Traffic: berth.Traffic{Requests: 4, Errors: 1, Time: 10 * time.Millisecond},
	}})
	m := w.ask("GET", "/api/tenants/t1/metrics", "").json(t)
	for name, want := range map[string]any{
		"cpuPercent": 12.35, "memoryUsageMb": 1.5, "memoryLimitMb": nil, "networkRxBytes": 0.0, "networkTxBytes": nil, "containers": 2.0,
		"oomKillCount": nil, "requestCount": 4.0, "errorCount": 1.0, "avgResponseTimeMs": 2.5, "diskUsageMb": nil,
	} {
		if got, there := m[name]; !there || got != want {
			t.Errorf("%s is %v (there: %v), want %v", name, got, there, want)
		}
	}
	m = w.ask("GET", "/api/tenants/t2/metrics", "").json(t)
	for _, name := range []string{"readAt", "containers", "cpuPercent", "requestCount", "errorCount"} {
		if got, there := m[name]; !there || got != nil {
			t.Errorf("of a tenant that was not read, %s is %v", name, got)
		}
	}
}

func TestTheFleetIsSortedAndPaged(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	w.metered(meter{
		one: {OrganizationID: one, CPUPercent: berth.Known(5.0), MemoryBytes: berth.Known(int64(9))},
		two: {OrganizationID: two, CPUPercent: berth.Known(50.0)},
	})
	for sort, want := range map[string][]string{"": {two, one}, "cpu": {two, one}, "memory": {one, two}, "network": {one, two}, "name": {one, two}} {
		var got []string
		cursor := ""
		for range 3 {
			q := url.Values{"limit": {"1"}}
			if sort != "" {
				q.Set("sort", sort)
			}
			if cursor != "" {
				q.Set("cursor", cursor)
			}
			page := w.ask("GET", "/api/usage?"+q.Encode(), "").json(t)
			for _, row := range page["tenants"].([]any) {
				got = append(got, row.(map[string]any)["organizationId"].(string))
			}
			if cursor, _ = page["nextCursor"].(string); cursor == "" {
				break
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("by %q: %v, want %v", sort, got, want)
		}
	}
	for _, bad := range []string{"x", "%00", "e30"} {
		w.wantProblem(w.ask("GET", "/api/usage?cursor="+bad, ""), http.StatusUnprocessableEntity, "cursor "+bad)
	}
}

func TestUsageIsPeriodsAndWhatTheyComeTo(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	now := time.Now().UTC().Truncate(time.Hour)
	at := func(start, end time.Time, r berth.Resolution, cpu float64) berth.Usage {
		return berth.Usage{OrganizationID: one, Resolution: r, Start: start, End: end, CPUPercentAvg: berth.Known(cpu), Requests: berth.Known(int64(2)), Samples: 4}
	}
	wide := at(now.Add(-3*time.Hour), now.Add(-2*time.Hour), berth.ByHour, 6400)
	wide.OrganizationID = two
	w.history(
		wide,
		at(now.Add(-2*time.Hour), now.Add(-time.Hour), berth.ByHour, 10),
		at(now.Add(-2*time.Hour), now.Add(-2*time.Hour+time.Minute), berth.ByMinute, 99), // is in the hour above
		at(now.Add(-time.Hour), now, berth.ByMinute, 20),                                 // its hour is not rolled up yet
	)
	u := w.ask("GET", "/api/tenants/t1/usage", "").json(t)
	average := u["average"].(map[string]any)
	if n := len(u["periods"].([]any)); n != 2 || u["resolution"] != "hour" {
		t.Errorf("%d periods by %v", n, u["resolution"])
	}
	if average["cpuUsagePercentAvg"] != 15.0 || average["requestCount"] != 4.0 || average["coveredSeconds"] != 7200.0 || average["errorCount"] != nil {
		t.Errorf("%v", average)
	}
	u = w.ask("GET", "/api/tenants/t1/usage?hours=48&resolution=hour", "").json(t)
	if n := len(u["periods"].([]any)); n != 1 {
		t.Errorf("%d periods where hours were asked for", n)
	}
	// Seed fault 20: 64 cores at full load.
	if u := w.ask("GET", "/api/tenants/t2/usage", "").json(t); u["average"].(map[string]any)["cpuUsagePercentAvg"] != 6400.0 {
		t.Errorf("%v", u["average"])
	}
	if u := w.ask("GET", "/api/tenants/t2/usage?hours=1", "").json(t); len(u["periods"].([]any)) != 0 || u["average"].(map[string]any)["cpuUsagePercentAvg"] != nil {
		t.Errorf("a tenant without history: %v", u)
	}
	for _, bad := range []string{"hours=-1", "hours=0", "resolution=second", "hours=48&resolution=minute", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from=yesterday", "hours=1&from=2026-01-02T00:00:00Z"} {
		if a := w.ask("GET", "/api/tenants/t1/usage?"+bad, ""); a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
}

// An hour that began before the span is not left out: its minutes stand for it.
func TestASpanThatBeginsWithinAPeriodIsWhole(t *testing.T) {
	t.Parallel()
	w := newMeteredWorld(t)
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	put := func(r berth.Resolution, start time.Time, length time.Duration) {
		w.history(berth.Usage{OrganizationID: one, Resolution: r, Start: start, End: start.Add(length), Requests: berth.Known(int64(length / time.Minute)), Samples: 4})
	}
	for d := range 16 {
		put(berth.ByDay, day.AddDate(0, 0, d), 24*time.Hour)
	}
	for h := range 16*24 + 5 {
		put(berth.ByHour, day.Add(time.Duration(h)*time.Hour), time.Hour)
	}
	for m := range 16*24*60 + 5*60 + 20 {
		if m < 4*60 || m > 15*24*60 {
			put(berth.ByMinute, day.Add(time.Duration(m)*time.Minute), time.Minute)
		}
	}
	to := day.AddDate(0, 0, 16).Add(5*time.Hour + 20*time.Minute)
	for _, from := range []time.Time{day.Add(2*time.Hour + 30*time.Minute), to.Add(-24 * time.Hour)} {
		u := w.ask("GET", "/api/tenants/t1/usage?from="+from.Format(time.RFC3339)+"&to="+to.Format(time.RFC3339), "").json(t)
		average, want := u["average"].(map[string]any), to.Sub(from)
		if average["coveredSeconds"] != want.Seconds() || average["requestCount"] != want.Minutes() {
			t.Errorf("by %v, from %v: %v of %v", u["resolution"], from, average, want)
		}
		end := from.Format(time.RFC3339)
		for _, p := range u["periods"].([]any) {
			if p := p.(map[string]any); p["periodStart"] != end {
				t.Fatalf("%v begins where %v ends", p["periodStart"], end)
			} else {
				end = p["periodEnd"].(string)
			}
		}
	}
}
