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

func open(t testing.TB, path string, tenants int) *sqlite.Store {
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

func rows(t *testing.T, s store.Store, n int, r berth.Resolution) (list []berth.Usage) {
	t.Helper()
	err := s.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		list, err = tx.ListUsage(ctx, store.UsageQuery{OrganizationID: org(n), Resolution: r, From: time.Time{}.AddDate(1, 0, 0), To: time.Time{}.AddDate(5000, 0, 0), Limit: 1 << 20})
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
				Fleet: func() []*berth.Member {
					if time.Since(begins) < time.Second {
						return nil // the loop has not looked yet
					}
					return []*berth.Member{{OrganizationID: org(0), InstanceID: "c", StartedAt: began}}
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

// A tenant that is stopped and started again is asked through one door all the
// while: no request counts twice, and none is lost.
func TestRequestsAreCountedOnceThoughTheTenantIsStoppedForLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := open(t, path, 1)
		m := meter.New(meter.Config{}, meter.Parts{
			Store: s, Sampler: steady{began}, Log: slog.New(slog.DiscardHandler),
			Fleet: func() []*berth.Member {
				if up := time.Since(began); up > 5*time.Minute && up < 3*time.Hour {
					return nil
				}
				return []*berth.Member{{OrganizationID: org(0), InstanceID: "c", StartedAt: began}}
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

// An engine that hangs costs a round its share of the interval, however many
// containers it is asked for.
func TestAnEngineThatHangsDoesNotStretchARound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, 1)
		var fleet []*berth.Member
		for n := range 300 {
			fleet = append(fleet, &berth.Member{OrganizationID: org(0), InstanceID: fmt.Sprint(n), StartedAt: time.Now()})
		}
		rounds := 0
		m := meter.New(meter.Config{}, meter.Parts{
			Store: s, Sampler: blind{&rounds}, Stats: hanging{}, Log: slog.New(slog.DiscardHandler), Fleet: func() []*berth.Member { return fleet },
		})
		runFor(t, m.Run, 10*time.Minute)
		if rounds < 35 {
			t.Errorf("%d rounds in ten minutes", rounds)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Those that the engine can't be asked for in time are not always the same.
func TestContainersThatHangTheEngineLeaveTheOthersTheirTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, 1)
		var fleet []*berth.Member
		for n := range 300 {
			fleet = append(fleet, &berth.Member{OrganizationID: org(0), InstanceID: fmt.Sprint(n), StartedAt: time.Now()})
		}
		asked := &partly{read: map[string]int{}}
		m := meter.New(meter.Config{}, meter.Parts{
			Store: s, Sampler: blind{new(int)}, Stats: asked, Log: slog.New(slog.DiscardHandler), Fleet: func() []*berth.Member { return fleet },
		})
		runFor(t, m.Run, 10*time.Minute)
		if len(asked.read) != 290 {
			t.Errorf("%d of 290 that answer were read", len(asked.read))
		}
		for id, n := range asked.read {
			if n < 10 {
				t.Errorf("container %s was read %d times in ten minutes", id, n)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// partly hangs with the first ten containers, and takes 20 ms for the others.
type partly struct {
	mu   sync.Mutex
	read map[string]int
}

func (p *partly) Stats(ctx context.Context, id string) (berth.Sample, error) {
	if len(id) == 1 {
		return hanging{}.Stats(ctx, id)
	}
	<-time.After(20 * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read[id]++
	return berth.Sample{ContainerID: id, At: time.Now(), CPU: berth.Known(time.Second)}, nil
}

type blind struct{ rounds *int }

func (blind) Sample(string, time.Time) (berth.Sample, bool) { return berth.Sample{}, false }
func (b blind) Forget()                                     { *b.rounds++ }

type hanging struct{}

func (hanging) Stats(ctx context.Context, _ string) (berth.Sample, error) {
	<-ctx.Done()
	return berth.Sample{}, ctx.Err()
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
				Fleet: func() []*berth.Member {
					if up := time.Since(began); !runs(up) {
						return nil
					} else if up > time.Hour {
						return []*berth.Member{{OrganizationID: org(0), InstanceID: "c", StartedAt: began.Add(3 * time.Hour)}}
					}
					return []*berth.Member{{OrganizationID: org(0), InstanceID: "c", StartedAt: began}}
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
			Fleet: func() []*berth.Member {
				return []*berth.Member{{OrganizationID: org(0), InstanceID: "c", StartedAt: began}}
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

// slow is a store that takes a millisecond for each period, and knows how long
// its longest transaction took.
type slow struct {
	store.Store
	mu   sync.Mutex
	most time.Duration
}

type slowUsages struct{ store.Usages }

func (s *slow) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return s.Store.InTx(ctx, actor, func(tx store.Tx) error {
		began := time.Now()
		tx.Usages = slowUsages{tx.Usages}
		err := fn(tx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.most = max(s.most, time.Since(began))
		return err
	})
}

func (t slowUsages) PutUsage(ctx context.Context, list []berth.Usage) error {
	<-time.After(time.Duration(len(list)) * time.Millisecond)
	return t.Usages.PutUsage(ctx, list)
}

func TestAMinuteOfManyTenantsHoldsTheWriterInParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	synctest.Test(t, func(t *testing.T) {
		const many = 250 // addresses that open's pattern has
		lite := open(t, path, many)
		s := &slow{Store: lite}
		var members []*berth.Member
		for n := range many {
			members = append(members, &berth.Member{OrganizationID: org(n), InstanceID: fmt.Sprint("c", n), StartedAt: time.Now()})
		}
		m := meter.New(meter.Config{}, meter.Parts{Store: s, Sampler: steady{time.Now()}, Log: slog.New(slog.DiscardHandler), Fleet: func() []*berth.Member { return members }})
		run, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if err := m.Run(run); err != nil {
			t.Error(err)
		}
		for n := range many {
			if len(rows(t, lite, n, berth.ByMinute)) < 3 {
				t.Fatalf("tenant %d has %d periods", n, len(rows(t, lite, n, berth.ByMinute)))
			}
		}
		if s.most > 100*time.Millisecond {
			t.Errorf("the writer was held for %v", s.most)
		}
		if err := lite.Close(); err != nil {
			t.Error(err)
		}
	})
}
