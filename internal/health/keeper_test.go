package health_test

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

func database(t testing.TB, tenants int) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	write(t, s, func(tx store.Tx) error {
		for n := range tenants {
			m := memberOf(n)
			err := tx.InsertTenant(t.Context(), berth.Tenant{
				ID: berth.NewID(), OrganizationID: m.OrganizationID, Name: m.OrganizationID, Slug: m.OrganizationID[24:], ContainerID: m.InstanceID,
				EngineID: "e", Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(n >> 4), byte(n << 4)}), 28), ExternalPort: 3000 + n, Want: berth.WantRunning,
				Spec: berth.Spec{ImageTag: "v1", Blueprint: "single@1", Limits: berth.DefaultLimits(), Replicas: 1, InternalPort: 3000}, Generation: 1,
				Status: berth.StatusRunning, Health: berth.HealthHealthy, CreatedAt: born, UpdatedAt: born,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return s
}

func write(t testing.TB, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.InTx(t.Context(), berth.System(), fn); err != nil {
		t.Fatal(err)
	}
}

// rows counts the rows of one organization.
func rows(t *testing.T, s store.Store, r berth.Resolution, org string) (list []berth.HealthPeriod) {
	t.Helper()
	err := s.View(t.Context(), berth.System(), func(tx store.Tx) (err error) {
		list, err = tx.ListHealth(t.Context(), org, r, time.Unix(0, 0), born.AddDate(10, 0, 0))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func probes(t *testing.T, s store.Store, org string) int {
	t.Helper()
	n := 0
	err := s.View(t.Context(), berth.System(), func(tx store.Tx) error {
		list, _, err := tx.ListProbes(t.Context(), org, store.Page{Limit: 1000})
		n = len(list)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// live writes a probe of each of two tenants every ten minutes for a time and
// lets the keeper go round every eight hours.
func live(t *testing.T, s store.Store, k *health.Keeper, from time.Time, hours int) (end time.Time) {
	t.Helper()
	var list []berth.Probe
	for h := range hours {
		at := from.Add(time.Duration(h) * time.Hour)
		for i := range 6 {
			for n := range 2 {
				status := berth.ProbeHealthy
				if n == 1 && i == 0 {
					status = berth.ProbeTimeout
				}
				list = append(list, berth.Probe{OrganizationID: memberOf(n).OrganizationID, CheckedAt: at.Add(time.Duration(i) * 10 * time.Minute),
					Status: status, ResponseTime: time.Duration(i+1) * time.Millisecond})
			}
		}
		if h%8 < 7 && h < hours-1 {
			continue
		}
		write(t, s, func(tx store.Tx) error { return tx.RecordProbes(t.Context(), list) })
		list = nil
		if k != nil {
			round(t, k, at.Add(time.Hour+2*time.Minute))
		}
	}
	return from.Add(time.Duration(hours) * time.Hour)
}

func round(t *testing.T, k *health.Keeper, now time.Time) {
	t.Helper()
	if err := k.Round(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

const oneDay = 24 * time.Hour

func keeper(s store.Store) *health.Keeper {
	return health.NewKeeper(health.KeeperConfig{Probes: oneDay, Hours: 7 * oneDay, Days: 14 * oneDay, Batch: 100}, s, slog.New(slog.DiscardHandler))
}

func TestTheRecordLevelsOff(t *testing.T) {
	s := database(t, 2)
	k := keeper(s)
	org := memberOf(0).OrganizationID
	type count struct{ probes, hours, days int }
	var after []count
	at := born.Truncate(oneDay)
	for range 4 { // weeks
		at = live(t, s, k, at, 7*24)
		after = append(after, count{probes(t, s, org), len(rows(t, s, berth.ByHour, org)), len(rows(t, s, berth.ByDay, org))})
	}
	want := count{24 * 6, 7 * 24, 13} // the day in which 14 days ago lies is gone
	for week, got := range after {
		if week >= 2 && got != want {
			t.Errorf("after week %d there are %+v rows, want %+v", week+1, got, want)
		}
	}
	days := rows(t, s, berth.ByDay, memberOf(1).OrganizationID)
	for _, d := range days {
		if d.Healthy != 24*5 || d.Timeouts != 24 || d.Unhealthy != 0 || d.ResponseMax != 6*time.Millisecond || d.ResponseTotal != 24*21*time.Millisecond {
			t.Errorf("day %v: %+v", d.Start, d)
		}
	}
}

func TestAKeeperThatWasAwaySumsBeforeItDrops(t *testing.T) {
	s := database(t, 2)
	k := keeper(s)
	org := memberOf(0).OrganizationID
	from := born.Truncate(oneDay)
	at := live(t, s, k, from, 30)
	at = live(t, s, nil, at, 66) // Berth wrote, the keeper did not run
	round(t, k, at.Add(2*time.Minute))
	round(t, k, at.Add(2*time.Minute)) // again changes nothing
	hours := rows(t, s, berth.ByHour, org)
	if len(hours) != 96 {
		t.Errorf("%d hours of 96", len(hours))
	}
	for _, h := range hours {
		if h.Healthy != 6 {
			t.Errorf("hour %v: %+v", h.Start, h)
		}
	}
	if n := len(rows(t, s, berth.ByDay, org)); n != 4 {
		t.Errorf("%d days of 4", n)
	}
}

// The clock was wrong for a while: what was written then lies in the future.
func TestAClockThatWasAheadKeepsNoHourFromItsSum(t *testing.T) {
	s := database(t, 2)
	k := keeper(s)
	org := memberOf(0).OrganizationID
	from := born.Truncate(oneDay)
	live(t, s, k, from.Add(300*oneDay), 3) // ahead
	live(t, s, k, from, 72)
	if hours := rows(t, s, berth.ByHour, org); len(hours) != 72+3 {
		t.Errorf("%d hours of 72 and 3", len(hours))
	}
	if days := rows(t, s, berth.ByDay, org); len(days) < 3 {
		t.Errorf("%d days of 3", len(days))
	}
}

func TestASumStandsWhenItsRowsAreGone(t *testing.T) {
	s := database(t, 2)
	k := keeper(s)
	org := memberOf(0).OrganizationID
	at := live(t, s, k, born.Truncate(oneDay), 10)
	// Nothing runs for days; then a part of the last hour's rows is dropped.
	write(t, s, func(tx store.Tx) error {
		_, err := tx.ForgetHealth(t.Context(), "", at, 10*12-5)
		return err
	})
	for h := range 48 {
		round(t, k, at.Add(time.Duration(24+h)*time.Hour))
	}
	hours := rows(t, s, berth.ByHour, org)
	if len(hours) != 10 || hours[9].Healthy != 6 {
		t.Errorf("%+v", hours)
	}
	if n := probes(t, s, org); n != 0 {
		t.Errorf("%d probes are left", n)
	}
}

func TestWhatCameLateIsSummedToo(t *testing.T) {
	s := database(t, 2)
	k := keeper(s)
	org := memberOf(0).OrganizationID
	at := live(t, s, k, born.Truncate(oneDay), 1)
	write(t, s, func(tx store.Tx) error {
		return tx.RecordProbes(t.Context(), []berth.Probe{{OrganizationID: org, CheckedAt: at.Add(-time.Second), Status: berth.ProbeUnhealthy}})
	})
	round(t, k, at.Add(10*time.Minute))
	if h := rows(t, s, berth.ByHour, org); len(h) != 1 || h[0].Healthy != 6 || h[0].Unhealthy != 1 {
		t.Errorf("%+v", h)
	}
}

// BenchmarkASecondOfAThousandTenants writes what one second of 1,000 tenants
// at 15 s brings.
func BenchmarkASecondOfAThousandTenants(b *testing.B) {
	s := database(b, 1000)
	n := 0
	for b.Loop() {
		list := make([]berth.Probe, 67)
		for i := range list {
			list[i] = berth.Probe{OrganizationID: memberOf(n % 1000).OrganizationID, CheckedAt: born.Add(time.Duration(n) * time.Millisecond),
				Status: berth.ProbeHealthy, ResponseTime: time.Millisecond, HTTPStatus: 200, Type: "http", Endpoint: "/api/health",
				CPUPercent: berth.Known(1.5), MemoryMB: berth.Known(64)}
			n++
		}
		write(b, s, func(tx store.Tx) error { return tx.RecordProbes(b.Context(), list) })
	}
}

// watched is a store that notes how much the keeper asks for and writes at once.
type watched struct {
	store.Store
	put     *[]int
	longest *time.Duration
}

type watchedHealth struct {
	store.Health
	w watched
}

func (w watched) seen(tx store.Tx) store.Tx {
	tx.Health = watchedHealth{tx.Health, w}
	return tx
}

func (w watched) View(ctx context.Context, a berth.Actor, fn func(store.Tx) error) error {
	return w.Store.View(ctx, a, func(tx store.Tx) error { return fn(w.seen(tx)) })
}

func (w watched) InTx(ctx context.Context, a berth.Actor, fn func(store.Tx) error) error {
	return w.Store.InTx(ctx, a, func(tx store.Tx) error { return fn(w.seen(tx)) })
}

func (h watchedHealth) PutHealth(ctx context.Context, list []berth.HealthPeriod) error {
	*h.w.put = append(*h.w.put, len(list))
	return h.Health.PutHealth(ctx, list)
}

func (h watchedHealth) SumHealth(ctx context.Context, r berth.Resolution, from, to time.Time) ([]berth.HealthPeriod, error) {
	*h.w.longest = max(*h.w.longest, to.Sub(from))
	return h.Health.SumHealth(ctx, r, from, to)
}

func TestSumsAreReadBySliceAndWrittenInBatches(t *testing.T) {
	const tenants = 25
	s := database(t, tenants)
	w := watched{s, new([]int), new(time.Duration)}
	k := health.NewKeeper(health.KeeperConfig{Batch: 10}, w, slog.New(slog.DiscardHandler))
	from := born.Truncate(time.Hour)
	write(t, s, func(tx store.Tx) error {
		var list []berth.Probe
		for minute := range 60 {
			for n := range tenants {
				list = append(list, berth.Probe{OrganizationID: memberOf(n).OrganizationID, CheckedAt: from.Add(time.Duration(minute) * time.Minute),
					Status: berth.ProbeHealthy, ResponseTime: time.Duration(minute) * time.Millisecond})
			}
		}
		return tx.RecordProbes(t.Context(), list)
	})
	round(t, k, from.Add(62*time.Minute))
	if !slices.Equal(*w.put, []int{10, 10, 5}) || *w.longest != time.Minute {
		t.Errorf("wrote %v at once, read %v at once", *w.put, *w.longest)
	}
	for n := range tenants {
		h := rows(t, s, berth.ByHour, memberOf(n).OrganizationID)
		if len(h) != 1 || h[0].Healthy != 60 || h[0].ResponseMax != 59*time.Millisecond || !h[0].Start.Equal(from) {
			t.Errorf("%+v", h)
		}
	}
}
