package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/health"
)

// town is a fleet of invented instances, each with its own behaviour.
type town struct {
	mu      sync.Mutex
	members []berth.Member
	hangs   map[netip.AddrPort]bool
	sick    map[netip.AddrPort]bool
	asked   map[netip.AddrPort][]time.Time
	running map[netip.AddrPort]int
	most    int // probes at once
	twice   bool
	written [][]berth.Probe
	writes  []time.Time
	changed []string
	refuse  error // of Record
	stall   chan struct{}
}

func newTown() *town {
	return &town{hangs: map[netip.AddrPort]bool{}, sick: map[netip.AddrPort]bool{}, asked: map[netip.AddrPort][]time.Time{}, running: map[netip.AddrPort]int{}}
}

func addrOf(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 64, byte(n >> 8), byte(n)}), 3000)
}

func memberOf(n int) berth.Member {
	return berth.Member{
		OrganizationID: fmt.Sprintf("550e8400-e29b-41d4-a716-%012x", n), Main: true, Steady: true,
		InstanceID: fmt.Sprintf("c%064d", n), StartedAt: born, Address: addrOf(n),
		Check: &berth.HealthCheck{Interval: 15 * time.Second, Timeout: 10 * time.Second, Retries: 2},
	}
}

func (w *town) Probe(ctx context.Context, addr netip.AddrPort, check berth.HealthCheck) berth.Probe {
	w.mu.Lock()
	at := time.Now()
	w.asked[addr] = append(w.asked[addr], at)
	w.running[addr]++
	w.twice = w.twice || w.running[addr] > 1
	total := 0
	for _, n := range w.running {
		total += n
	}
	w.most = max(w.most, total)
	hangs, sick := w.hangs[addr], w.sick[addr]
	w.mu.Unlock()
	p := berth.Probe{CheckedAt: at, Status: berth.ProbeHealthy, HTTPStatus: 200}
	took := 5 * time.Millisecond
	switch {
	case hangs:
		p.Status, p.HTTPStatus, p.Cause, took = berth.ProbeTimeout, 0, "no answer", check.Timeout
	case sick:
		p.Status, p.HTTPStatus, p.Cause = berth.ProbeUnhealthy, 500, "answered 500"
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		p.Status, p.Cause = berth.ProbeUnhealthy, "cancelled"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[addr]--
	return p
}

func (w *town) fleet() (list []*berth.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.members {
		list = append(list, &m)
	}
	return list
}

func (w *town) set(members ...berth.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members = members
}

func (w *town) record(_ context.Context, list []berth.Probe) (int, error) {
	if w.stall != nil {
		<-w.stall
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written = append(w.written, list)
	w.writes = append(w.writes, time.Now())
	if w.refuse != nil {
		return 0, w.refuse
	}
	return len(list), nil
}

func (w *town) rows() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.written {
		n += len(b)
	}
	return n
}

// run lets a monitor of the town live for the duration of body, in a bubble.
func (w *town) run(t *testing.T, inFlight int, body func(*health.Monitor)) {
	t.Helper()
	m := health.NewMonitor(health.MonitorConfig{
		Fleet: w.fleet, Asker: w, Record: w.record, InFlight: inFlight, Log: slog.New(slog.DiscardHandler),
		Changed: func(org string) { w.mu.Lock(); w.changed = append(w.changed, org); w.mu.Unlock() },
		Reading: func(string) (berth.Reading, bool) {
			return berth.Reading{CPUPercent: berth.Known(12.5), MemoryBytes: berth.Known[int64](1<<20 + 1)}, true
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	body(m)
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// after lets virtual time pass.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAThousandTenantsAreProbedEvenlyOverTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		for n := range 1000 {
			w.members = append(w.members, memberOf(n))
		}
		began := time.Now()
		w.run(t, 0, func(*health.Monitor) { after(45*time.Second - time.Millisecond) })
		perSecond := map[int]int{}
		for addr, times := range w.asked {
			if len(times) != 3 || times[1].Sub(times[0]) != 15*time.Second || times[2].Sub(times[1]) != 15*time.Second {
				t.Fatalf("%v was asked at %v", addr, times)
			}
			perSecond[int(times[0].Sub(began)/time.Second)]++
		}
		for second := range 15 {
			if n := perSecond[second]; n < 35 || n > 105 {
				t.Errorf("second %d: %d of 1000 probes", second, n)
			}
		}
		if len(w.asked) != 1000 || w.rows() != 3000 {
			t.Errorf("%d asked, %d rows", len(w.asked), w.rows())
		}
		for i := 1; i < len(w.writes)-1; i++ { // the last is at the end
			if gap := w.writes[i].Sub(w.writes[i-1]); gap < time.Second {
				t.Errorf("two writes within %v", gap)
			}
		}
	})
}

func TestTheSpreadIsTheSameInEveryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first []time.Duration
		for range 2 {
			w := newTown()
			w.members = []berth.Member{memberOf(1), memberOf(2), memberOf(3)}
			began := time.Now()
			w.run(t, 0, func(*health.Monitor) { after(16 * time.Second) })
			var offsets []time.Duration
			for n := 1; n <= 3; n++ {
				offsets = append(offsets, w.asked[addrOf(n)][0].Sub(began))
			}
			if first != nil && !slices.Equal(first, offsets) {
				t.Errorf("%v, then %v", first, offsets)
			}
			first = offsets
		}
	})
}

func TestTenantsThatHangCostOnlyThemselves(t *testing.T) {
	t.Run("with room for all", func(t *testing.T) { fiftyOfTwoHundredHang(t, 0, 0) })
	// Their first time-out is what tells them from the others.
	t.Run("with less room than hang", func(t *testing.T) { fiftyOfTwoHundredHang(t, 40, 2) })
}

// fiftyOfTwoHundredHang checks that all others keep their turns after the
// first few.
func fiftyOfTwoHundredHang(t *testing.T, room, few int) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		const all, hanging = 200, 50
		for n := range all {
			m := memberOf(n)
			m.Check.Timeout = 14 * time.Second
			w.members = append(w.members, m)
			w.hangs[addrOf(n)] = n < hanging
		}
		w.run(t, room, func(m *health.Monitor) {
			after(61 * time.Second)
			for n := range all {
				v, ok := m.Vital(w.members[n].InstanceID, born)
				if well := n >= hanging; well && (!ok || !v.Ready) || ok && v.Ready && !well && few == 0 {
					t.Errorf("tenant %d: %+v %v", n, v, ok)
				}
			}
		})
		if w.twice || room > 0 && w.most > room {
			t.Errorf("asked twice at once: %v; %d at once", w.twice, w.most)
		}
		for n := hanging; n < all; n++ {
			times := w.asked[addrOf(n)]
			if len(times) < 4 {
				t.Errorf("tenant %d was asked %d times in 61 s", n, len(times))
			}
			for i := 1 + few; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap != 15*time.Second {
					t.Errorf("tenant %d waited %v for its turn", n, gap)
				}
			}
		}
	})
}

func TestANewStartBeginsANewSeriesAndWhatIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		m1 := memberOf(1)
		m1.StartedAt = time.Now()
		w.members, w.sick[addrOf(1)] = []berth.Member{m1}, true
		w.run(t, 0, func(m *health.Monitor) {
			after(40 * time.Second)
			if v, ok := m.Vital(m1.InstanceID, m1.StartedAt); !ok || v.Ready || v.Dead || v.Cause != "answered 500" {
				t.Errorf("%+v %v", v, ok)
			}
			again := m1
			again.StartedAt = time.Now()
			w.set(again)
			m.Poke()
			synctest.Wait()
			for _, at := range []time.Time{m1.StartedAt, again.StartedAt} {
				if v, ok := m.Vital(m1.InstanceID, at); ok {
					t.Errorf("start at %v: %+v", at, v)
				}
			}
			w.mu.Lock()
			w.sick[addrOf(1)] = false
			w.mu.Unlock()
			after(15 * time.Second)
			if v, ok := m.Vital(m1.InstanceID, again.StartedAt); !ok || !v.Ready {
				t.Errorf("%+v %v", v, ok)
			}
			w.set()
			after(time.Second)
			if v, ok := m.Vital(m1.InstanceID, again.StartedAt); ok {
				t.Errorf("gone, yet %+v", v)
			}
			asked := len(w.asked[addrOf(1)])
			after(time.Minute)
			if len(w.asked[addrOf(1)]) != asked {
				t.Error("it is still asked")
			}
		})
	})
}

func TestWhoDisappearsWhileItHangsIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		m1 := memberOf(1)
		m1.Check.Timeout = time.Hour
		w.members, w.hangs[addrOf(1)] = []berth.Member{m1}, true
		w.run(t, 0, func(*health.Monitor) {
			after(20 * time.Second)
			if w.running[addrOf(1)] != 1 {
				t.Error("it does not hang")
			}
			w.set()
			after(time.Second)
			if w.running[addrOf(1)] != 0 {
				t.Error("its probe was not ended")
			}
		})
		if w.rows() != 0 {
			t.Error("a probe that was cut short was written")
		}
	})
}

func TestOnlySteadyMainInstancesAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		side, busy, nowhere := memberOf(1), memberOf(2), memberOf(3)
		side.Main, busy.Steady, nowhere.Address = false, false, netip.AddrPort{}
		w.members = []berth.Member{side, busy, nowhere}
		w.run(t, 0, func(*health.Monitor) {
			after(time.Minute)
			if len(w.asked) != 0 {
				t.Errorf("asked %v", w.asked)
			}
			busy.Steady = true
			w.set(busy)
			after(16 * time.Second)
			if len(w.asked[addrOf(2)]) == 0 {
				t.Error("settled, and not asked")
			}
		})
	})
}

func TestTheEnginesCheckIsJudgedWithTheFleetAndNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		m1 := memberOf(1)
		m1.Check.Kind, m1.Health, m1.Address = berth.ProbeEngine, berth.InstanceStarting, netip.AddrPort{}
		w.members = []berth.Member{m1}
		w.run(t, 0, func(m *health.Monitor) {
			after(30 * time.Second)
			if _, ok := m.Vital(m1.InstanceID, born); ok {
				t.Error("judged while it starts")
			}
			m1.Health = berth.InstanceHealthy
			w.set(m1)
			after(16 * time.Second)
			if v, ok := m.Vital(m1.InstanceID, born); !ok || !v.Ready {
				t.Errorf("%+v %v", v, ok)
			}
		})
		if w.rows() == 0 || slices.ContainsFunc(slices.Concat(w.written...), func(p berth.Probe) bool { return p.Type != "engine" }) {
			t.Errorf("on record: %+v", w.written)
		}
		if len(w.asked) != 0 {
			t.Error("it was asked")
		}
	})
}

func TestTheLoopHearsOnlyOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.members = []berth.Member{memberOf(1)}
		count := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.changed) }
		turn := func(sick, hangs bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sick[addrOf(1)], w.hangs[addrOf(1)] = sick, hangs
		}
		w.run(t, 0, func(*health.Monitor) {
			for i, step := range []struct {
				sick, hangs bool
				heard       int
			}{{false, false, 1}, {true, false, 2}, {false, false, 3}, {false, true, 5}} {
				turn(step.sick, step.hangs)
				after(2 * time.Minute)
				if count() != step.heard {
					t.Errorf("step %d: heard %v", i, w.changed)
				}
			}
		})
	})
}

// An instance that fell sick before the monitor's first probe is unready once
// its start period is over, and nothing else tells the loop.
func TestTheLoopHearsWhenAStartPeriodEndsWithoutSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		one := memberOf(1)
		one.StartedAt = time.Now()
		one.Check.StartPeriod = time.Minute
		w.members, w.sick[addrOf(1)] = []berth.Member{one}, true
		w.run(t, 0, func(m *health.Monitor) {
			heard := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.changed) }
			after(50 * time.Second)
			if v, ok := m.Vital(one.InstanceID, one.StartedAt); !ok || v.Started || heard() != 1 {
				t.Errorf("while it starts: %+v, heard %d times", v, heard())
			}
			after(time.Minute)
			if v, ok := m.Vital(one.InstanceID, one.StartedAt); !ok || !v.Started || v.Ready || heard() != 2 {
				t.Errorf("after its start: %+v, heard %d times", v, heard())
			}
		})
	})
}

func TestRowsCarryTheTenantAndWhatItUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.members = []berth.Member{memberOf(1)}
		w.run(t, 0, func(*health.Monitor) { after(16 * time.Second) })
		p := w.written[0][0]
		if p.OrganizationID != memberOf(1).OrganizationID || p.CPUPercent != berth.Known(12.5) || p.MemoryMB != berth.Known(2) || p.DiskMB.Known {
			t.Errorf("%+v", p)
		}
	})
}

func TestAStoreThatStallsOrFailsStopsNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.members, w.stall, w.refuse = []berth.Member{memberOf(1)}, make(chan struct{}), errors.New("full")
		w.run(t, 0, func(*health.Monitor) {
			after(5*time.Minute + time.Second)
			if n := len(w.asked[addrOf(1)]); n != 20 {
				t.Errorf("asked %d times", n)
			}
			close(w.stall)
			after(time.Minute)
			if w.rows() < 24 {
				t.Errorf("%d rows were handed over", w.rows())
			}
		})
	})
}

// The database may be busy or full for a while: what was learnt meanwhile is
// written once it is not. What it never takes is given up after a minute.
func TestProbesThatCouldNotBeWrittenAreWrittenLater(t *testing.T) {
	for refused, lost := range map[time.Duration]bool{40 * time.Second: false, 5 * time.Minute: true} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			w := newTown()
			w.set(memberOf(1), memberOf(2))
			var written []berth.Probe
			m := health.NewMonitor(health.MonitorConfig{Fleet: w.fleet, Asker: w, Log: slog.New(slog.DiscardHandler), Record: func(_ context.Context, list []berth.Probe) (int, error) {
				if time.Since(began) < refused {
					return 0, errors.New("full")
				}
				written = append(written, list...)
				return len(list), nil
			}})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			if err := m.Run(ctx); err != nil {
				t.Error(err)
			}
			if got := len(written); lost != (got < 80) || got > 82 || got < 40 {
				t.Errorf("refused for %v: %d of 80 written", refused, got)
			}
			if !slices.IsSortedFunc(written, func(a, b berth.Probe) int { return a.CheckedAt.Compare(b.CheckedAt) }) {
				t.Error("they are out of order")
			}
		})
	}
}
