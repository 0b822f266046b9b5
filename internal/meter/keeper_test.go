package meter_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/meter"
	"github.com/unite-hub/berth/internal/store"
)

// Seed fault 21: the table stops growing.
func TestTheDatabaseLevelsOff(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "berth.db"), 1)
	defer s.Close()
	k := &meter.Keeper{Store: s, Minutes: 2 * time.Hour, Hours: 2 * 24 * time.Hour, Days: 5 * 24 * time.Hour, Log: slog.New(slog.DiscardHandler)}
	begin := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	var counts [][3]int
	var sums int64
	for hour := range 24 * 9 {
		now := begin.Add(time.Duration(hour) * time.Hour)
		err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
			var list []berth.Usage
			for m := range 12 {
				start := now.Add(time.Duration(m) * 5 * time.Minute)
				list = append(list, berth.Usage{OrganizationID: org(0), Resolution: berth.ByMinute, Start: start, End: start.Add(5 * time.Minute),
					Requests: berth.Known[int64](1), CPUPercentAvg: berth.Known(float64(m))})
			}
			return tx.PutUsage(ctx, list)
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // twice does no harm
			if err := k.Keep(ctx, now.Add(time.Hour+3*time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		if hour%24 == 23 {
			counts = append(counts, [3]int{len(rows(t, s, 0, berth.ByMinute)), len(rows(t, s, 0, berth.ByHour)), len(rows(t, s, 0, berth.ByDay))})
		}
	}
	last := counts[len(counts)-1]
	if counts[len(counts)-2] != last || last[0] > 36 || last[1] > 49 || last[2] > 6 || last[2] < 4 {
		t.Errorf("rows of minutes, hours and days, day by day: %v", counts)
	}
	days := rows(t, s, 0, berth.ByDay)
	for _, d := range days {
		sums += d.Requests.Value
		if d.End.Sub(d.Start) != 24*time.Hour || d.CPUPercentAvg != berth.Known(5.5) {
			t.Errorf("day %+v", d)
		}
	}
	if sums != int64(len(days))*24*12 {
		t.Errorf("%d requests in %d days", sums, len(days))
	}
}

func TestAPeriodThatIsStoredLateIsInItsHour(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "berth.db"), 1)
	defer s.Close()
	k := &meter.Keeper{Store: s, Log: slog.New(slog.DiscardHandler)}
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	put := func(minute, length int) {
		t.Helper()
		start := noon.Add(time.Duration(minute) * time.Minute)
		err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
			return tx.PutUsage(ctx, []berth.Usage{{OrganizationID: org(0), Resolution: berth.ByMinute, Start: start,
				End: start.Add(time.Duration(length) * time.Minute), Requests: berth.Known[int64](1)}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	keep := func(minute int) {
		t.Helper()
		if err := k.Keep(ctx, noon.Add(time.Duration(minute)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	put(5, 1)
	put(10, 1)
	keep(200)    // Berth was away; its keeper is first
	put(11, 189) // what was used meanwhile
	keep(205)
	hours := rows(t, s, 0, berth.ByHour)
	if len(hours) != 1 || hours[0].Requests.Value != 3 || !hours[0].Start.Equal(noon.Add(5*time.Minute)) {
		t.Errorf("hours %+v", hours)
	}
}

// Each tenant would be a transaction of its own, every five minutes.
func TestARoundLooksOnlyAtWhoseUsageIsToBeSummedUp(t *testing.T) {
	const tenants = 20
	db := open(t, filepath.Join(t.TempDir(), "berth.db"), tenants)
	defer db.Close()
	s := &counted{Store: db}
	k := &meter.Keeper{Store: s, Log: slog.New(slog.DiscardHandler)}
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	put := func(at time.Time, orgs ...int) {
		t.Helper()
		var list []berth.Usage
		for _, n := range orgs {
			list = append(list, berth.Usage{OrganizationID: org(n), Resolution: berth.ByMinute, Start: at, End: at.Add(time.Minute), Requests: berth.Known[int64](1)})
		}
		if err := s.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.PutUsage(ctx, list) }); err != nil {
			t.Fatal(err)
		}
	}
	var all []int
	for n := range tenants {
		all = append(all, n)
	}
	put(noon.Add(58*time.Minute), all...)
	keep := func(now time.Time) int {
		t.Helper()
		before := s.transactions
		if err := k.Keep(ctx, now); err != nil {
			t.Fatal(err)
		}
		return s.transactions - before
	}
	first := keep(noon.Add(70 * time.Minute))
	idle := keep(noon.Add(75 * time.Minute))
	put(noon.Add(59*time.Minute), 7)
	late := keep(noon.Add(80 * time.Minute))
	// A few are for all tenants; one read and one write are for each that has something.
	if idle > 5 || late != idle+2 || first != idle+2*tenants {
		t.Errorf("%d transactions of the first round, %d where nothing is new, %d where one tenant has a new period", first, idle, late)
	}
	if hours := rows(t, s, 7, berth.ByHour); len(hours) != 1 || hours[0].Requests.Value != 2 {
		t.Errorf("hours %+v", hours)
	}
}

// counted counts the transactions of a store.
type counted struct {
	store.Store
	transactions int
}

func (c *counted) View(ctx context.Context, as berth.Actor, read func(store.Tx) error) error {
	c.transactions++
	return c.Store.View(ctx, as, read)
}

func (c *counted) InTx(ctx context.Context, as berth.Actor, change func(store.Tx) error) error {
	c.transactions++
	return c.Store.InTx(ctx, as, change)
}

// Berth is away for longer than minutes are kept. What it had not summed up
// then, and what was used meanwhile, is in the hours and days all the same.
func TestNothingIsForgottenBeforeItWasSummedUp(t *testing.T) {
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	away := 63 * 60 // minutes
	for name, first := range map[string]bool{"keeper first": true, "meter first": false} {
		t.Run(name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "berth.db"), 1)
			defer s.Close()
			k := &meter.Keeper{Store: s, Log: slog.New(slog.DiscardHandler)}
			put := func(from, to int) {
				t.Helper()
				start, end := noon.Add(time.Duration(from)*time.Minute), noon.Add(time.Duration(to)*time.Minute)
				err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
					return tx.PutUsage(ctx, []berth.Usage{{OrganizationID: org(0), Resolution: berth.ByMinute, Start: start, End: end, Requests: berth.Known[int64](1)}})
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			keep := func(minute int) {
				t.Helper()
				if err := k.Keep(ctx, noon.Add(time.Duration(minute)*time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
			put(-60, 0)
			put(0, 20)
			keep(20)
			put(20, 40) // then Berth ends
			if first {
				keep(away)
			}
			put(40, away+1)
			for minute := away + 5; minute < away+4*24*60; minute += 60 {
				keep(minute)
			}
			for _, r := range []berth.Resolution{berth.ByHour, berth.ByDay} {
				var sum int64
				list := rows(t, s, 0, r)
				for _, u := range list {
					sum += u.Requests.Value
				}
				if sum != 4 || !list[len(list)-1].End.Equal(noon.Add(time.Duration(away+1)*time.Minute)) {
					t.Errorf("%s: %d of 4 requests in %+v", r, sum, list)
				}
			}
			if n := len(rows(t, s, 0, berth.ByMinute)); n != 0 {
				t.Errorf("%d minutes are left", n)
			}
		})
	}
}
