package meter_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/meter"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

var ctx = context.Background()

func org(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012d", n) }

func open(t *testing.T, path string, tenants int) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	err = s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for n := range tenants {
			err := tx.InsertTenant(ctx, berth.Tenant{
				ID: berth.NewID(), OrganizationID: org(n), Name: "Tenant", Slug: fmt.Sprint("tenant-", n), ExternalPort: 3001 + n, URL: "http://localhost",
				Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(n >> 4), byte(n << 4)}), 28), Want: berth.WantRunning, Status: berth.StatusRunning,
				Health: berth.HealthHealthy, Generation: 1, CreatedAt: time.Now(), UpdatedAt: time.Now(),
				Spec: berth.Spec{ImageTag: "v1", Blueprint: "builtin@1", Replicas: 1, InternalPort: 3000, Limits: berth.DefaultLimits()},
			})
			if err != nil && !berth.Is(err, berth.CodeTenantExists) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rows(t *testing.T, s *sqlite.Store, n int, r berth.Resolution) (list []berth.Usage) {
	t.Helper()
	err := s.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		list, err = tx.ListUsage(ctx, org(n), r, time.Time{}.AddDate(1, 0, 0), time.Time{}.AddDate(5000, 0, 0), 1<<20)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// steady is a kernel whose containers use half a core and receive 100 bytes a
// second, whoever looks.
type steady struct{ began time.Time }

func (s steady) Sample(id string, started time.Time) (berth.Sample, bool) {
	up := time.Since(s.began)
	return berth.Sample{
		ContainerID: id, At: time.Now(), StartedAt: started, CPU: berth.Known(up / 2), NetworkRx: berth.Known(int64(up.Seconds() * 100)),
		Memory: berth.Known[int64](100 << 20), OOMKills: berth.Known(int64(up / (10 * time.Minute))),
	}, true
}

func (steady) Forget() {}

type notices struct {
	mu   sync.Mutex
	list []string
}

func (n *notices) notice(org string, kind string, _ string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, org[len(org)-1:]+" "+kind)
}

// Berth ends in any way, and begins again on the same database: the periods
// join, and their counts add up to what was used.
func TestPeriodsJoinAcrossRestartsWithoutGapAndDoubleCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := open(t, path, 1)
		run := func(d time.Duration) {
			begins := time.Now()
			m := meter.New(meter.Config{}, meter.Parts{
				Store: s, Sampler: steady{began}, Log: slog.New(slog.DiscardHandler),
				Fleet: func() []berth.Member {
					if time.Since(begins) < time.Second {
						return nil // the loop has not looked yet
					}
					return []berth.Member{{OrganizationID: org(0), Container: berth.Container{ID: "c", StartedAt: began}}}
				},
			})
			runFor(t, m.Run, d)
		}
		for _, d := range []time.Duration{10 * time.Minute, 90 * time.Second, 7*time.Minute + 3*time.Second} {
			run(d)
			<-time.After(5 * time.Minute) // away
		}
		list := rows(t, s, 0, berth.ByMinute)
		var received int64
		for i, u := range list {
			received += u.NetworkRx.Value
			if i > 0 && !u.Start.Equal(list[i-1].End) {
				t.Errorf("period %d begins at %v, the one before ends at %v", i, u.Start, list[i-1].End)
			}
			if got := u.CPUPercentAvg.Value; got < 49.99 || got > 50.01 {
				t.Errorf("period %d: CPU %v %%", i, got)
			}
		}
		first, last := list[0], list[len(list)-1]
		if want := last.End.Sub(first.Start).Seconds() * 100; float64(received) < want-100 || float64(received) > want+100 {
			t.Errorf("received %d of %v in %d periods", received, want, len(list))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func runFor(t *testing.T, run func(context.Context) error, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if err := run(ctx); err != nil {
		t.Error(err)
	}
}

func TestADiskIsToldOfOnceNearItsLimitAndOnceAbove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		var told notices
		s := open(t, path, 1)
		percents := []int64{50, 91, 95, 89, 91, 101, 110, 94, 102, 80, 92}
		disk := &disks{percents: percents}
		m := meter.New(meter.Config{DiskInterval: time.Minute}, meter.Parts{
			Store: s, Sampler: steady{time.Now()}, Disk: disk, Log: slog.New(slog.DiscardHandler), Notice: told.notice,
			Fleet: func() []berth.Member { return nil }, Limit: func(string) int64 { return 100 << 20 },
		})
		runFor(t, m.Run, 15*time.Minute)
		if got := fmt.Sprint(told.list); got != "[0 disk 0 disk 0 disk 0 disk]" { // at 91, 101, 102 and 92 %
			t.Errorf("told %s", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

type disks struct {
	percents []int64 // of 100 MB, pass by pass; below 0 it can't be measured
	n        int
}

func (d *disks) Disk(_ context.Context, _ time.Duration, tell func(string, int64)) error {
	percent := d.percents[min(d.n, len(d.percents)-1)]
	d.n++
	if percent >= 0 {
		tell(org(0), percent<<20)
	}
	return nil
}

func TestADiskIsNotToldOfAgainBecauseBerthWasRestarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var told notices
		s := open(t, path, 1)
		for _, percents := range [][]int64{{50, 91}, {92, 93}, {88, 87}, {86, 101}, {103}, {97}, {80}, {95}} {
			m := meter.New(meter.Config{DiskInterval: 5 * time.Minute}, meter.Parts{
				Store: s, Sampler: steady{began}, Disk: &disks{percents: percents}, Log: slog.New(slog.DiscardHandler), Notice: told.notice,
				Fleet: func() []berth.Member {
					return []berth.Member{{OrganizationID: org(0), Container: berth.Container{ID: "c", StartedAt: began}}}
				},
				Limit: func(string) int64 { return 100 << 20 },
			})
			runFor(t, m.Run, 10*time.Minute)
			if r, _ := m.Now(org(0)); !r.DiskBytes.Known {
				t.Errorf("%v: the disk is not known", percents)
			}
		}
		if got := fmt.Sprint(told.list); got != "[0 disk 0 disk 0 disk]" { // at 91, 101 and 95 %
			t.Errorf("told %s", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestADiskThatCanNotBeMeasuredAnyMoreIsNotKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := open(t, path, 1)
		m := meter.New(meter.Config{}, meter.Parts{
			Store: s, Sampler: steady{began}, Disk: &disks{percents: []int64{50, -1}}, Log: slog.New(slog.DiscardHandler),
			Fleet: func() []berth.Member {
				return []berth.Member{{OrganizationID: org(0), Container: berth.Container{ID: "c", StartedAt: began}}}
			},
		})
		var known []bool
		go func() {
			for range 3 {
				<-time.After(3 * time.Minute)
				r, _ := m.Now(org(0))
				known = append(known, r.DiskBytes.Known)
			}
		}()
		runFor(t, m.Run, 10*time.Minute)
		if fmt.Sprint(known) != "[true false false]" {
			t.Errorf("known after 3, 6 and 9 minutes: %v", known)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

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

// A tenant that is stopped and started again is asked through one door all the
// while: no request counts twice, and none is lost.
func TestRequestsAreCountedOnceThoughTheTenantIsStoppedForLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := open(t, path, 1)
		m := meter.New(meter.Config{}, meter.Parts{
			Store: s, Sampler: steady{began}, Log: slog.New(slog.DiscardHandler),
			Fleet: func() []berth.Member {
				if up := time.Since(began); up > 5*time.Minute && up < 3*time.Hour {
					return nil
				}
				return []berth.Member{{OrganizationID: org(0), Container: berth.Container{ID: "c", StartedAt: began}}}
			},
			Traffic: func() map[string]berth.Traffic {
				return map[string]berth.Traffic{org(0): {Requests: min(int64(time.Since(began)/time.Second), 250)}}
			},
		})
		runFor(t, m.Run, 4*time.Hour)
		var requests int64
		list := rows(t, s, 0, berth.ByMinute)
		for _, u := range list {
			requests += u.Requests.Value
		}
		if requests != 250 {
			t.Errorf("%d requests", requests)
		}
		if len(list) > 70 {
			t.Errorf("%d periods of a tenant that ran for an hour and five minutes", len(list))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// An engine that hangs costs the sweep its share of the interval, however many
// containers it is asked for.
func TestAnEngineThatHangsDoesNotStretchTheSweep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, 1)
		var fleet []berth.Member
		for n := range 300 {
			fleet = append(fleet, berth.Member{OrganizationID: org(0), Container: berth.Container{ID: fmt.Sprint(n), StartedAt: time.Now()}})
		}
		sweeps := 0
		m := meter.New(meter.Config{}, meter.Parts{
			Store: s, Sampler: blind{&sweeps}, Stats: hanging{}, Log: slog.New(slog.DiscardHandler), Fleet: func() []berth.Member { return fleet },
		})
		runFor(t, m.Run, 10*time.Minute)
		if sweeps < 35 {
			t.Errorf("%d sweeps in ten minutes", sweeps)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

type blind struct{ sweeps *int }

func (blind) Sample(string, time.Time) (berth.Sample, bool) { return berth.Sample{}, false }
func (b blind) Forget()                                     { *b.sweeps++ }

type hanging struct{}

func (hanging) Stats(ctx context.Context, _ string) (berth.Sample, error) {
	<-ctx.Done()
	return berth.Sample{}, ctx.Err()
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

// A tenant that is stopped has no periods, whatever happens to Berth meanwhile.
func TestATenantThatIsStoppedHasNoPeriodsThoughBerthIsRestarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := open(t, path, 1)
		runs := func(at time.Duration) bool { return at < 5*time.Minute || at >= 3*time.Hour }
		for range 5 {
			m := meter.New(meter.Config{}, meter.Parts{
				Store: s, Sampler: steady{began}, Log: slog.New(slog.DiscardHandler),
				Fleet: func() []berth.Member {
					if up := time.Since(began); !runs(up) {
						return nil
					} else if up > time.Hour {
						return []berth.Member{{OrganizationID: org(0), Container: berth.Container{ID: "c", StartedAt: began.Add(3 * time.Hour)}}}
					}
					return []berth.Member{{OrganizationID: org(0), Container: berth.Container{ID: "c", StartedAt: began}}}
				},
			})
			runFor(t, m.Run, 50*time.Minute)
		}
		var covered time.Duration
		for _, u := range rows(t, s, 0, berth.ByMinute) {
			covered += u.End.Sub(u.Start)
			if !u.MemoryAvg.Known {
				t.Errorf("%v to %v: nothing ran", u.Start.Sub(began), u.End.Sub(began))
			}
		}
		if covered > 76*time.Minute || covered < 74*time.Minute {
			t.Errorf("%v of 75 min", covered)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Whenever Berth begins, periods end at the full minute, and so hours at the full
// hour.
func TestPeriodsEndAtTheFullMinute(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		<-time.After(10*time.Minute + 26*time.Second)
		began := time.Now()
		s := open(t, path, 1)
		m := meter.New(meter.Config{}, meter.Parts{
			Store: s, Sampler: steady{began}, Log: slog.New(slog.DiscardHandler),
			Fleet: func() []berth.Member {
				return []berth.Member{{OrganizationID: org(0), Container: berth.Container{ID: "c", StartedAt: began}}}
			},
		})
		runFor(t, m.Run, 20*time.Minute+10*time.Second)
		list := rows(t, s, 0, berth.ByMinute)
		for i, u := range list {
			if late := u.End.Sub(u.End.Truncate(time.Minute)); i < len(list)-1 && late > 100*time.Millisecond {
				t.Errorf("period %d ends at %v", i, u.End)
			}
			if i > 0 && i < len(list)-1 && u.Samples != 4 {
				t.Errorf("period %d has %d samples", i, u.Samples)
			}
		}
		if len(list) != 21 { // 34 s, 19 whole ones, and 36 s
			t.Errorf("%d periods", len(list))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
