package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
)

const long = time.Hour

func acquire(t testing.TB, s *postgres.Store, holder string, ttl time.Duration) store.Lease {
	t.Helper()
	l, ok, err := s.Acquire(t.Context(), "engine-1", holder, "https://"+holder, ttl)
	if err != nil || !ok {
		t.Fatalf("acquire: %v, %v", ok, err)
	}
	return l
}

// over waits until nobody's lease lasts, by the database's clock.
func over(t testing.TB, s *postgres.Store) {
	t.Helper()
	until(t, "the lease ends", func() bool {
		_, _, live, err := s.Holder(t.Context(), "engine-1")
		return err == nil && !live
	})
}

func TestOneLeadsAnEngineUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	url := login(lent(t))
	s, other := open(t, url), open(t, url)
	a, b := berth.NewID(), berth.NewID()
	if holder, at, live, err := s.Holder(t.Context(), "engine-1"); holder != "" || at != "" || live || err != nil {
		t.Errorf("before: %q, %q, %v, %v", holder, at, live, err)
	}
	first := acquire(t, s, a, long)
	if _, ok, err := other.Acquire(t.Context(), "engine-1", b, "u", long); ok || err != nil {
		t.Errorf("a second one leads: %v, %v", ok, err)
	}
	if _, ok, err := other.Acquire(t.Context(), "engine-2", b, "u", long); !ok || err != nil {
		t.Errorf("another engine can't be led: %v, %v", ok, err)
	}
	if holder, at, live, err := other.Holder(t.Context(), "engine-1"); holder != a || at != "https://"+a || !live || err != nil {
		t.Errorf("%q, %q, %v, %v", holder, at, live, err)
	}
	if again := acquire(t, s, a, long); again != first {
		t.Errorf("its own again: %+v, then %+v", first, again)
	}
	if ok, err := s.Renew(t.Context(), first, time.Millisecond); !ok || err != nil {
		t.Fatal(ok, err)
	}
	over(t, s)
	if ok, err := s.Renew(t.Context(), first, time.Millisecond); !ok || err != nil { // nobody came between
		t.Fatal(ok, err)
	}
	over(t, s)
	second := acquire(t, other, b, long)
	if second.Fence <= first.Fence {
		t.Errorf("fence %d after %d", second.Fence, first.Fence)
	}
	if ok, err := s.Renew(t.Context(), first, long); ok || err != nil {
		t.Errorf("renewed what is another's: %v, %v", ok, err)
	}
	if err := s.Release(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, _, live, _ := s.Holder(t.Context(), "engine-1"); !live {
		t.Error("released what is another's")
	}
	if err := other.Release(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if third := acquire(t, s, a, long); third.Fence <= second.Fence {
		t.Errorf("fence %d after %d", third.Fence, second.Fence)
	}
}

func TestTheDatabaseRefusesWhatAnOldLeaderWrites(t *testing.T) {
	t.Parallel()
	url := login(lent(t))
	s, other := open(t, url), open(t, url)
	lease := acquire(t, s, berth.NewID(), long)
	led := s.Under(lease)
	insert(t, led, 1)
	refused := func(when string, l store.Lease) {
		t.Helper()
		err := s.Under(l).InTx(t.Context(), berth.System(), func(store.Tx) error { t.Error("the function ran"); return nil })
		var e *berth.Error
		if !errors.As(err, &e) || e.Code != berth.CodeNotLeading || e.Hint == "" {
			t.Errorf("%s: got %v, want %s", when, err, berth.CodeNotLeading)
		}
	}
	refused("another fence", store.Lease{EngineID: lease.EngineID, Holder: lease.Holder, Fence: lease.Fence + 1})
	refused("another holder", store.Lease{EngineID: lease.EngineID, Holder: berth.NewID(), Fence: lease.Fence})
	refused("another engine", store.Lease{EngineID: "engine-9", Holder: lease.Holder, Fence: lease.Fence})
	if ok, err := s.Renew(t.Context(), lease, time.Millisecond); !ok || err != nil {
		t.Fatal(ok, err)
	}
	over(t, s)
	refused("it is over", lease)
	acquire(t, other, berth.NewID(), long)
	refused("another leads", lease)
	if got := ports(t, led); len(got) != 1 { // to read, nobody need lead
		t.Errorf("ports %v", got)
	}
	insert(t, s, 2) // what the API writes needs no lease
}

func TestASuccessorWaitsForWhatTheLeaderHasBegunAndARenewalDoesNot(t *testing.T) {
	t.Parallel()
	url := login(lent(t))
	s, other := open(t, url), open(t, url)
	lease := acquire(t, s, berth.NewID(), long)
	ctx := t.Context()
	type taken struct {
		lease store.Lease
		ports int
		err   error
	}
	took := make(chan taken, 1)
	err := s.Under(lease).InTx(ctx, berth.System(), func(tx store.Tx) error {
		if ok, err := s.Renew(ctx, lease, time.Millisecond); !ok || err != nil {
			t.Errorf("renewal behind the writer: %v, %v", ok, err)
		}
		over(t, other)
		go func() {
			l, _, err := other.Acquire(ctx, "engine-1", berth.NewID(), "u", long)
			n := 0
			_ = other.View(ctx, berth.System(), func(tx store.Tx) error {
				list, err := tx.TakenPorts(ctx)
				n = len(list)
				return err
			})
			took <- taken{l, n, err}
		}()
		until(t, "the successor waits", func() bool {
			return ask[int](t, tx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))`) > 0
		})
		return tx.InsertTenant(ctx, newTenant(1))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-took; got.err != nil || got.lease.Fence != lease.Fence+1 || got.ports != 1 {
		t.Errorf("%+v, want the lease with what was written before it", got)
	}
}

func TestLeasesNeedNoConnectionOfTheWriters(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t))+"&pool_max_conns=3")
	lease := acquire(t, s, berth.NewID(), long)
	ctx := t.Context()
	var nested func(depth int) error
	nested = func(depth int) error {
		return s.View(ctx, berth.System(), func(store.Tx) error {
			if depth > 1 {
				return nested(depth - 1)
			}
			ok, err := s.Renew(ctx, lease, long)
			if !ok {
				t.Error("not renewed")
			}
			return err
		})
	}
	if err := nested(3); err != nil { // all connections of the pool are taken
		t.Error(err)
	}
}

func TestListenHearsWhoseDeploymentsChanged(t *testing.T) {
	t.Parallel()
	name := lent(t)
	p, url := through(t, login(name))
	s, other := open(t, url), open(t, login(name))
	insert(t, other, 1)
	rung := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Listen(ctx, func(id string) { rung <- id }) }()
	next := func() string {
		t.Helper()
		select {
		case id := <-rung:
			return id
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was rung")
			return ""
		}
	}
	if got := next(); got != "" {
		t.Errorf("first %q, want that all is to be looked at", got)
	}
	d := berth.Deployment{ID: berth.NewID(), OrganizationID: orgID(1), Type: berth.DeployUpdate, Status: berth.DeploymentPending, Want: berth.WantRunning, By: "t", CreatedAt: noon}
	write := func(fn func(store.Tx) error) {
		t.Helper()
		if err := other.InTx(t.Context(), berth.Actor{ID: "t", Role: berth.RoleOperator}, fn); err != nil {
			t.Fatal(err)
		}
	}
	write(func(tx store.Tx) error {
		n, err := tx.Tenant(t.Context(), orgID(1))
		d.TenantID, d.New = n.ID, n.Spec
		if err != nil {
			return err
		}
		return tx.InsertDeployment(t.Context(), d)
	})
	if got := next(); got != orgID(1) {
		t.Errorf("heard %q", got)
	}
	// Who takes an order back tells whoever carries it out.
	d.Status = berth.DeploymentSuperseded
	write(func(tx store.Tx) error { return tx.UpdateDeployment(t.Context(), d) })
	if got := next(); got != orgID(1) {
		t.Errorf("of what was taken back heard %q", got)
	}
	d.ID, d.Status = berth.NewID(), berth.DeploymentPending
	write(func(tx store.Tx) error { return tx.InsertDeployment(t.Context(), d) })
	if got := next(); got != orgID(1) {
		t.Errorf("of the next heard %q", got)
	}
	d.Status = berth.DeploymentCompleted
	write(func(tx store.Tx) error { return tx.UpdateDeployment(t.Context(), d) })
	// What comes through itself it has no need to hear.
	own := d
	own.ID, own.Status = berth.NewID(), berth.DeploymentPending
	if err := s.InTx(t.Context(), berth.System(), func(tx store.Tx) error { return tx.InsertDeployment(t.Context(), own) }); err != nil {
		t.Fatal(err)
	}
	admin(t, name, `SELECT pg_notify('berth', 'nonsense')`)
	p.cutAll()
	if got := next(); got != "" {
		t.Errorf("after the cut %q, want that all is to be looked at", got)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	_ = other.InTx(t.Context(), berth.System(), func(tx store.Tx) error { // what is not committed is not rung
		own.Status = berth.DeploymentCompleted
		d.ID, d.Status = berth.NewID(), berth.DeploymentPending
		if err := errors.Join(tx.UpdateDeployment(t.Context(), own), tx.InsertDeployment(t.Context(), d)); err != nil {
			t.Error(err)
		}
		return errors.New("no")
	})
	if len(rung) != 0 {
		t.Errorf("heard %q too", <-rung)
	}
}

// The database's clock decides; it may be put forward or back by an hour.
func TestAClockThatJumpsNeitherKeepsALeaseNorEndsItsRenewal(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	name := lent(t)
	s, other := open(t, login(name)), open(t, login(name))
	jump := func(by string) { // as seen from what was written before it
		t.Helper()
		admin(t, name, `UPDATE berth.engine_leases SET expires_at = expires_at - interval '`+by+`'`)
	}
	taken := func() (l store.Lease, ok bool) {
		t.Helper()
		l, ok, err := other.Acquire(t.Context(), "engine-1", berth.NewID(), "u", ttl)
		if err != nil {
			t.Fatal(err)
		}
		return l, ok
	}
	for _, by := range []string{"1 hour", "-1 hour"} {
		lease := acquire(t, s, berth.NewID(), ttl)
		jump(by)
		if ok, err := s.Renew(t.Context(), lease, ttl); !ok || err != nil {
			t.Fatalf("%s: its holder lives: %v, %v", by, ok, err)
		}
		if _, ok := taken(); ok {
			t.Errorf("%s: it was taken from a holder that renews it", by)
		}
		jump(by) // and now the holder is dead
		next, ok := taken()
		if !ok || next.Fence <= lease.Fence {
			t.Fatalf("%s: nobody can take over: %+v, %v", by, next, ok)
		}
		if ok, err := s.Renew(t.Context(), lease, ttl); ok || err != nil {
			t.Errorf("%s: two lead: %v, %v", by, ok, err)
		}
		if err := tryInsert(t.Context(), s.Under(lease), 1); !berth.Is(err, berth.CodeNotLeading) {
			t.Errorf("%s: two write: %v", by, err)
		}
		if err := other.Release(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
}
