package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
)

// seen is what the server knows of a transaction.
type seen struct{ User, Claims, Isolation, ReadOnly, Durable string }

func look(t testing.TB, tx store.Tx) (s seen) {
	t.Helper()
	err := postgres.Ask(t.Context(), tx, []any{&s.User, &s.Claims, &s.Isolation, &s.ReadOnly, &s.Durable}, `SELECT current_user::text,
		current_setting('request.jwt.claims', true), current_setting('transaction_isolation'), current_setting('transaction_read_only'),
		current_setting('synchronous_commit')`)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestATransactionHasTheRoleAndTheClaimsOfItsActor(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t))+"&options=-csynchronous_commit%3Doff")
	for _, c := range []struct {
		actor  berth.Actor
		user   string
		claims map[string]string
	}{
		{berth.System(), "berth_system", nil},
		{berth.Actor{ID: "t1", Role: berth.RoleOperator}, "berth_api", map[string]string{"sub": "t1", "role": "berth_api", "berth_role": "operator"}},
		{berth.Actor{ID: "t2", Role: berth.RoleMember, OrganizationID: orgID(1)}, "berth_api",
			map[string]string{"sub": "t2", "role": "berth_api", "berth_role": "member", "berth_organization": orgID(1)}},
		{berth.Actor{ID: `","berth_role":"operator`, Role: berth.RoleAdmin, OrganizationID: orgID(1)}, "berth_api",
			map[string]string{"sub": `","berth_role":"operator`, "role": "berth_api", "berth_role": "admin", "berth_organization": orgID(1)}},
		{berth.Actor{}, "berth_api", nil},
		{berth.Actor{ID: "system"}, "berth_api", nil},
		{berth.Actor{ID: "t3", Role: berth.RoleAdmin}, "berth_api", nil},
		{berth.Actor{ID: "t4", Role: "root"}, "berth_api", nil},
	} {
		check := func(isolation, readOnly string) func(store.Tx) error {
			return func(tx store.Tx) error {
				got := look(t, tx)
				var claims map[string]string
				if got.Claims != "" {
					if err := json.Unmarshal([]byte(got.Claims), &claims); err != nil {
						t.Error(err)
					}
				}
				if got.User != c.user || !reflect.DeepEqual(claims, c.claims) || got.Isolation != isolation || got.ReadOnly != readOnly || got.Durable != "on" {
					t.Errorf("%+v: got %+v, want %s with %v, %s, read only %s", c.actor, got, c.user, c.claims, isolation, readOnly)
				}
				return nil
			}
		}
		if err := s.View(t.Context(), c.actor, check("repeatable read", "on")); err != nil {
			t.Error(err)
		}
		if err := s.InTx(t.Context(), c.actor, check("read committed", "off")); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingOfATransactionIsLeftForTheNextOnTheConnection(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	// Whoever a pooler gives the connection to is nobody.
	check := func(after string) {
		t.Helper()
		var user, role, claims, stops, statement, lock string
		err := s.Between(t.Context(), []any{&user, &role, &claims, &stops, &statement, &lock}, `SELECT current_user::text, current_setting('role'),
			coalesce(current_setting('request.jwt.claims', true), ''), current_setting('idle_in_transaction_session_timeout'),
			current_setting('statement_timeout'), current_setting('lock_timeout')`)
		if got := []string{user, role, claims, stops, statement, lock}; err != nil || !slices.Equal(got, []string{"owner", "none", "", "0", "0", "0"}) {
			t.Errorf("after %s: %q, %v", after, got, err)
		}
	}
	for range 4 {
		if err := s.InTx(t.Context(), of(berth.RoleOperator, 1), func(store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		check("a commit")
		if err := s.InTx(t.Context(), of(berth.RoleAdmin, 1), func(store.Tx) error { return errors.New("no") }); err == nil {
			t.Fatal("no error")
		}
		check("a failure")
		if err := s.View(t.Context(), berth.System(), func(store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		check("a view")
	}
}

func TestTheDatabaseItselfKeepsOrganizationsApart(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	insert(t, s, 1)
	insert(t, s, 2)
	const count = `SELECT count(*) FROM public.tenant_containers`
	for actor, want := range map[berth.Actor]int{
		{}: 0, of(berth.RoleMember, 1): 1, of(berth.RoleAdmin, 2): 1, of(berth.RoleAdmin, 3): 0, berth.System(): 2, {ID: "t", Role: berth.RoleOperator}: 2,
		{ID: "t", Role: "root"}: 0, {ID: "t", Role: berth.RoleMember}: 0,
	} {
		if err := s.View(t.Context(), actor, func(tx store.Tx) error {
			if got := ask[int](t, tx, count); got != want {
				t.Errorf("%+v sees %d tenants, want %d", actor, got, want)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	for name, c := range map[string]struct {
		actor  berth.Actor
		change string
	}{
		"a member":          {of(berth.RoleMember, 1), `UPDATE public.tenant_containers SET tenant_name = 'mine' RETURNING 1`},
		"another's admin":   {of(berth.RoleAdmin, 2), `UPDATE public.tenant_containers SET tenant_name = 'mine' WHERE organization_id = '` + orgID(1) + `' RETURNING 1`},
		"nobody":            {berth.Actor{}, `UPDATE public.tenant_containers SET tenant_name = 'mine' RETURNING 1`},
		"an admin who adds": {of(berth.RoleAdmin, 2), `INSERT INTO berth.secret_versions VALUES ('x', '` + orgID(1) + `', 'n', '', now()) RETURNING 1`},
	} {
		err := s.InTx(t.Context(), c.actor, func(tx store.Tx) error {
			var changed int
			if err := postgres.Ask(t.Context(), tx, []any{&changed}, c.change); err == nil && changed != 0 {
				t.Errorf("%s changed a row", name)
			}
			return errors.New("no")
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := s.InTx(t.Context(), of(berth.RoleMember, 1), func(tx store.Tx) error {
		n, err := tx.Tenant(t.Context(), orgID(1))
		if err != nil {
			return err
		}
		return tx.UpdateTenant(t.Context(), &n)
	}); !berth.Is(err, berth.CodeForbidden) {
		t.Errorf("a member wrote: %v", err)
	}
}

func TestTwoControlPlanesThatTakeTheSmallestPortAtOnceGetDifferentOnes(t *testing.T) {
	t.Parallel()
	url := login(lent(t))
	stores := []store.Store{open(t, url), open(t, url)}
	const orders = 50
	var wg sync.WaitGroup
	for i := range orders {
		wg.Go(func() {
			err := stores[i%2].InTx(t.Context(), berth.System(), func(tx store.Tx) error {
				taken, err := tx.TakenPorts(t.Context())
				if err != nil {
					return err
				}
				port := 3001
				for _, p := range taken {
					if p == port {
						port++
					}
				}
				n := newTenant(i)
				n.ExternalPort = port
				return tx.InsertTenant(t.Context(), n)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := ports(t, stores[0])
	for i, p := range got {
		if p != 3001+i {
			t.Fatalf("ports %v", got)
		}
	}
	if len(got) != orders {
		t.Errorf("%d ports, want %d", len(got), orders)
	}
}

func TestViewsDoNotWaitForWritersThatQueue(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	ctx := t.Context()
	var wg sync.WaitGroup
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for i := range 20 { // more than there are connections
			wg.Go(func() {
				if err := tryInsert(ctx, s, i); err != nil {
					t.Error(err)
				}
			})
		}
		until(t, "another writer waits", func() bool {
			return ask[int](t, tx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) > 0
		})
		if got := ports(t, s); len(got) != 0 {
			t.Errorf("ports %v", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestAWriterThatStopsIsEndedAndRunAgain(t *testing.T) {
	t.Parallel()
	url := login(lent(t))
	stops, other := open(t, url), open(t, url)
	ctx := t.Context()
	inside, done := make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(done) })
	defer goOn()
	result := make(chan error, 1)
	runs := 0
	go func() {
		result <- stops.InTx(ctx, berth.System(), func(tx store.Tx) error {
			runs++
			if err := tx.InsertTenant(ctx, newTenant(runs)); err != nil {
				return err
			}
			if runs == 1 {
				close(inside)
				<-done
			}
			_, err := tx.TakenPorts(ctx)
			return err
		})
	}()
	<-inside
	began := time.Now()
	insert(t, other, 9)
	if took := time.Since(began); took < time.Second || took > 5*time.Second {
		t.Errorf("the next writer waited for %v, want about 2s", took)
	}
	goOn()
	if err := <-result; err != nil || runs != 2 {
		t.Errorf("%d runs: %v, want that the second one is stored", runs, err)
	}
	if got := ports(t, other); !reflect.DeepEqual(got, []int{3003, 3010}) {
		t.Errorf("ports %v: the first run left something", got)
	}
}

func TestAWaitForTheWritersEndsWithItsContext(t *testing.T) {
	t.Parallel()
	url := login(lent(t))
	s, other := open(t, url), open(t, url)
	err := s.InTx(t.Context(), berth.System(), func(store.Tx) error {
		for _, waits := range []*postgres.Store{s, other} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if err := waits.InTx(ctx, berth.System(), func(store.Tx) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want that the context ended", err)
			}
			cancel()
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAClosedStoreRefusesAndCloseWaitsForTransactions(t *testing.T) {
	t.Parallel()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: login(lent(t))})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	inside, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		<-inside
		closed <- s.Close()
	}()
	err = s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		close(inside)
		until(t, "the store is closing", func() bool {
			return berth.Is(s.View(ctx, berth.System(), func(store.Tx) error { return nil }), berth.CodeShuttingDown)
		})
		select {
		case <-closed:
			return errors.New("closed under a transaction")
		default:
		}
		return tx.InsertTenant(ctx, newTenant(0))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	nothing := func(store.Tx) error { return nil }
	_, _, _, leaseErr := s.Holder(ctx, "e")
	for _, err := range []error{s.InTx(ctx, berth.System(), nothing), s.View(ctx, berth.System(), nothing), s.Backup(ctx, t.TempDir()+"/copy"),
		s.Listen(ctx, func(string) {}), leaseErr} {
		if !berth.Is(err, berth.CodeShuttingDown) {
			t.Errorf("got %v, want %s", err, berth.CodeShuttingDown)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestTextThatTheDatabaseCantHoldIsKeptAsFarAsItCan(t *testing.T) {
	t.Parallel()
	s := open(t, login(lent(t)))
	ctx := t.Context()
	n := newTenant(1)
	n.Cause = "log: \x00 \xff end"
	n.Spec.Environment = map[string]string{"A": "\x00", `B\`: `\u0000`}
	if err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if err := tx.InsertTenant(ctx, n); err != nil {
			return err
		}
		got, err := tx.Tenant(ctx, orgID(1))
		if got.Cause != "log: \uFFFD \uFFFD end" || !reflect.DeepEqual(got.Spec.Environment, map[string]string{"A": "\uFFFD", `B\`: `\u0000`}) {
			t.Errorf("cause %q, environment %q", got.Cause, got.Spec.Environment)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"a\x00", "\xff", "'"} {
		if err := s.View(ctx, berth.System(), func(tx store.Tx) error { _, err := tx.Tenant(ctx, ref); return err }); !berth.Is(err, berth.CodeContainerNotFound) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

func TestATransactionCostsTwoRoundTripsBesideItsOwn(t *testing.T) {
	t.Parallel()
	p, url := through(t, login(lent(t)))
	s := open(t, url)
	insert(t, s, 1)
	lease := acquire(t, s, berth.NewID(), time.Hour)
	ctx := t.Context()
	read := func(tx store.Tx) error { _, err := tx.Tenant(ctx, orgID(1)); return err }
	for name, c := range map[string]struct {
		call func() error
		want int
	}{
		"a view":              {func() error { return s.View(ctx, berth.System(), read) }, 3},
		"a write":             {func() error { return s.InTx(ctx, berth.System(), read) }, 3},
		"a write of a leader": {func() error { return s.Under(lease).InTx(ctx, berth.System(), read) }, 3},
		"a renewal":           {func() error { _, err := s.Renew(ctx, lease, time.Hour); return err }, 1},
		"a row that may clash": {func() error {
			return s.InTx(ctx, berth.System(), func(tx store.Tx) error {
				return tx.PutRequest(ctx, store.Request{Key: "k", Fingerprint: []byte{1}, CreatedAt: noon})
			})
		}, 3},
	} {
		for range 3 { // statements are prepared once on each connection
			if err := c.call(); err != nil {
				t.Fatal(err)
			}
		}
		p.mu.Lock()
		before := p.sent
		p.mu.Unlock()
		if err := c.call(); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		if got := p.sent - before; got != c.want {
			t.Errorf("%s took %d round trips, want %d", name, got, c.want)
		}
		p.mu.Unlock()
	}
}
