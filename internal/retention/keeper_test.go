package retention_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/retention"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

var noon = time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)

func org(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012x", n) }

func open(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// killed is a store of a process that dies at its n-th transaction, before it or
// with it committed.
type killed struct {
	store.Store
	left int
}

var errKilled = errors.New("killed")

func (k *killed) InTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	if k.left--; k.left < 0 {
		return errKilled
	}
	return k.Store.InTx(ctx, actor, fn)
}

// world is an installation in the making.
type world struct {
	testing.TB
	store *sqlite.Store
}

func (w world) tx(fn func(tx store.Tx) error) {
	w.Helper()
	if err := w.store.InTx(w.Context(), berth.System(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w world) view(fn func(tx store.Tx) error) {
	w.Helper()
	if err := w.store.View(w.Context(), berth.System(), fn); err != nil {
		w.Fatal(err)
	}
}

// tenant makes one, with a provision that brought a secret.
func (w world) tenant(n int) berth.Tenant {
	w.Helper()
	t := berth.Tenant{
		ID: berth.NewID(), OrganizationID: org(n), Name: "n", Slug: fmt.Sprintf("t-%d", n), URL: "http://localhost", Want: berth.WantRunning,
		Status: berth.StatusRunning, Health: berth.HealthHealthy, Generation: 1, CreatedAt: noon, UpdatedAt: noon,
		Spec: berth.Spec{ImageTag: "v1", ImageDigest: "d1", Blueprint: "b@1", Limits: berth.Limits{CPU: 1, MemoryMB: 512, DiskMB: 2048}, Replicas: 1, InternalPort: 3000},
	}
	w.tx(func(tx store.Tx) error { return tx.InsertTenant(w.Context(), t) })
	w.change(&t, berth.DeployProvision, "v1", berth.DeploymentCompleted)
	return t
}

// change is a deployment that brings a secret of its own.
func (w world) change(t *berth.Tenant, typ berth.DeploymentType, image string, end berth.DeploymentStatus) (d berth.Deployment) {
	w.Helper()
	w.tx(func(tx store.Tx) error {
		was, v := t.Spec, store.SecretVersion{ID: berth.NewID(), OrganizationID: t.OrganizationID, Name: "KEY", Ciphertext: []byte{1}, CreatedAt: noon}
		next := was
		next.ImageTag, next.ImageDigest, next.Environment = image, "digest of "+image, map[string]string{"KEY": v.ID}
		d = berth.Deployment{
			ID: berth.NewID(), TenantID: t.ID, OrganizationID: t.OrganizationID, Type: typ, Status: end, Generation: 1, Previous: &was, New: next,
			Want: berth.WantRunning, CanRollback: end == berth.DeploymentCompleted, CreatedAt: noon, StartedAt: noon, CompletedAt: noon,
		}
		if end == berth.DeploymentCompleted {
			t.Spec = next
		}
		return errors.Join(tx.InsertSecret(w.Context(), v), tx.InsertDeployment(w.Context(), d), tx.UpdateTenant(w.Context(), t))
	})
	return d
}

func (w world) bury(t berth.Tenant, at time.Time) {
	w.Helper()
	w.tx(func(tx store.Tx) error {
		t.Want, t.DeprovisionedAt = berth.WantGone, at
		return tx.UpdateTenant(w.Context(), &t)
	})
}

func (w world) history(organizationID string) (list []berth.Deployment) {
	w.Helper()
	w.view(func(tx store.Tx) (err error) {
		list, _, err = tx.ListDeployments(w.Context(), organizationID, store.Page{Limit: store.Unbounded})
		return err
	})
	return list
}

// whole fails the test if something refers to what is not there.
func (w world) whole(organizationID string) {
	w.Helper()
	specs := []berth.Spec{}
	known := map[string]bool{}
	history := w.history(organizationID)
	for _, d := range history {
		known[d.ID] = true
		specs = append(specs, d.New)
		if d.Previous != nil {
			specs = append(specs, *d.Previous)
		}
	}
	for _, d := range history {
		if d.RollbackOf != "" && !known[d.RollbackOf] {
			w.Fatalf("%s rolled back to %s, which is not there", d.ID, d.RollbackOf)
		}
	}
	w.view(func(tx store.Tx) error {
		if t, err := tx.Tenant(w.Context(), organizationID); err == nil {
			specs = append(specs, t.Spec)
		}
		for _, s := range specs {
			for name, id := range s.Environment {
				if _, err := tx.Secrets(w.Context(), organizationID, []string{id}); err != nil {
					w.Fatalf("the value of %s is gone: %v", name, err)
				}
			}
		}
		return nil
	})
}

func (w world) secrets() (n int) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		list, _, err := tx.ListSealed(w.Context(), store.Page{Limit: store.Unbounded})
		n = len(list)
		return err
	})
	return n
}

var config = retention.Config{Deployments: 10, Removed: 48 * time.Hour, Access: 24 * time.Hour}

func keep(s store.Store, c retention.Config) *retention.Keeper {
	return retention.New(c, s, slog.New(slog.DiscardHandler))
}

func TestAKeeperThatIsKilledAnywhereGoesOnAndLeavesNothingHalf(t *testing.T) {
	w := world{t, open(t)}
	living, gone := w.tenant(1), w.tenant(2)
	for range 70 {
		w.change(&gone, berth.DeployUpdate, "v2", berth.DeploymentCompleted)
	}
	w.bury(gone, noon.Add(-100*time.Hour))
	first := w.change(&living, berth.DeployUpdate, "v2", berth.DeploymentCompleted)
	before := w.change(&living, berth.DeployUpdate, "v3", berth.DeploymentCompleted)
	for range 150 {
		w.change(&living, berth.DeployUpdate, "v4", berth.DeploymentFailed)
	}
	again := w.tenant(2)
	target := func() string {
		d, err := berth.RollbackTarget(w.history(org(1)), "")
		if err != nil {
			t.Fatal(err)
		}
		return d.ID
	}
	if got := target(); got != first.ID {
		t.Fatalf("a rollback goes to %s", got)
	}
	history, rounds := retention.Config{Deployments: config.Deployments, Removed: config.Removed}, 0
	for done := false; !done; rounds++ {
		// Never more than two transactions at a time: what one round did is not done again.
		err := keep(&killed{w.store, rounds % 3}, history).Round(t.Context(), noon)
		if done = err == nil; err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		w.whole(org(1))
		w.whole(org(2))
		if rounds > 100 {
			t.Fatal("it never ends")
		}
	}
	left := w.history(org(1))
	if len(left) != 12 || left[10].ID != before.ID || left[11].ID != first.ID {
		t.Errorf("%d deployments of the living one stayed", len(left))
	}
	if got := target(); got != first.ID {
		t.Errorf("a rollback goes to %s now", got)
	}
	if list := w.history(org(2)); len(list) != 1 || list[0].TenantID != again.ID {
		t.Errorf("%d deployments of the removed one stayed", len(list))
	}
	// Those of 10 that failed, of two that are good, of what the older of them
	// replaced, and of the tenant that was provisioned again.
	if n := w.secrets(); n != 10+2+1+1 {
		t.Errorf("%d secret versions stayed", n)
	}
}

// meanwhile has something done after the n-th snapshot, counted from 0.
type meanwhile struct {
	store.Store
	left int
	do   func()
}

func (m *meanwhile) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	err := m.Store.View(ctx, actor, fn)
	if m.left--; m.left == -1 {
		m.do()
	}
	return err
}

func TestADeploymentThatARollbackIsOrderedToWhileAKeeperDropsStays(t *testing.T) {
	for _, c := range []struct {
		name        string
		over, after int // deployments too many; the snapshot after which the order comes
	}{
		{"once its ids are chosen", 5, 1},
		{"once its secrets are looked for", 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world{t, open(t)}
			living := w.tenant(1)
			to := w.history(org(1))[0]
			for range c.over - 1 {
				to = w.change(&living, berth.DeployUpdate, "v2", berth.DeploymentCompleted)
			}
			for range config.Deployments {
				w.change(&living, berth.DeployUpdate, "v3", berth.DeploymentCompleted)
			}
			back := berth.Deployment{
				ID: berth.NewID(), TenantID: living.ID, OrganizationID: org(1), Type: berth.DeployRollback, Status: berth.DeploymentPending,
				Generation: 1, Previous: &living.Spec, New: to.New, Want: berth.WantRunning, CreatedAt: noon, RollbackOf: to.ID,
			}
			s := &meanwhile{w.store, c.after, func() {
				w.tx(func(tx store.Tx) error { return tx.InsertDeployment(t.Context(), back) })
			}}
			if err := keep(s, config).Round(t.Context(), noon); err != nil {
				t.Fatal(err)
			}
			if s.left >= 0 {
				t.Fatal("no order came")
			}
			left := w.history(org(1))
			if !slices.ContainsFunc(left, func(d berth.Deployment) bool { return d.ID == to.ID }) {
				t.Error("what the order goes back to is gone")
			}
			if left[0].ID != back.ID || left[0].RollbackOf != to.ID {
				t.Errorf("the newest is %s, back to %q, want %s, back to %s", left[0].ID, left[0].RollbackOf, back.ID, to.ID)
			}
			w.whole(org(1))
		})
	}
}

func TestWhatIsKeptForEverIsNotTouched(t *testing.T) {
	w := world{t, open(t)}
	living, gone := w.tenant(1), w.tenant(2)
	w.bury(gone, noon.Add(-10*365*24*time.Hour))
	for range 30 {
		w.change(&living, berth.DeployUpdate, "v2", berth.DeploymentCompleted)
	}
	was, secrets := w.history(org(1)), w.secrets()
	if err := keep(&killed{w.store, 0}, retention.Config{}).Round(t.Context(), noon); err != nil {
		t.Errorf("something was written: %v", err)
	}
	if got := w.history(org(1)); len(got) != len(was) || w.secrets() != secrets || len(w.history(org(2))) != 1 {
		t.Errorf("%d of %d deployments, %d of %d secrets", len(got), len(was), w.secrets(), secrets)
	}
}

func TestAHistoryWithinItsBoundIsNotTouched(t *testing.T) {
	w := world{t, open(t)}
	living := w.tenant(1)
	for range config.Deployments - 1 {
		w.change(&living, berth.DeployUpdate, "v2", berth.DeploymentFailed)
	}
	was := w.history(org(1))
	if err := keep(&killed{w.store, 3}, config).Round(t.Context(), noon); err != nil { // three rules of access
		t.Error(err)
	}
	if got := w.history(org(1)); len(got) != len(was) || w.secrets() != len(was) {
		t.Errorf("%d of %d deployments, %d secrets", len(got), len(was), w.secrets())
	}
}

// broken fails for one organization.
type broken struct {
	store.Store
	histories
}

type histories struct{ store.Histories }

func (histories) SurplusDeployments(context.Context, store.Surplus) ([]string, error) {
	return nil, errors.New("broken")
}

func (b broken) View(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	return b.Store.View(ctx, actor, func(tx store.Tx) error {
		tx.Histories = histories{tx.Histories}
		return fn(tx)
	})
}

func TestWhatFailsForOneHoldsUpNoOther(t *testing.T) {
	w := world{t, open(t)}
	a, b, gone := w.tenant(1), w.tenant(2), w.tenant(3)
	for range 12 {
		w.change(&a, berth.DeployUpdate, "v2", berth.DeploymentCompleted)
		w.change(&b, berth.DeployUpdate, "v2", berth.DeploymentCompleted)
	}
	w.bury(gone, noon.Add(-100*time.Hour))
	err := keep(broken{Store: w.store}, config).Round(t.Context(), noon)
	for _, n := range []int{1, 2} {
		if want := "tenant " + org(n) + ": broken"; err == nil || !slices.Contains(lines(err), want) {
			t.Errorf("of %d was told: %v", n, err)
		}
	}
	if n := len(w.history(org(3))); n != 0 {
		t.Errorf("%d deployments of the removed one stayed", n)
	}
}

func lines(err error) (list []string) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			list = append(list, lines(e)...)
		}
		return list
	}
	return []string{err.Error()}
}

// none has no rows, and counts how often it is asked.
type none struct {
	store.Store
	asked int
}

func (n *none) View(context.Context, berth.Actor, func(store.Tx) error) error {
	n.asked++
	return nil
}

func (n *none) InTx(context.Context, berth.Actor, func(store.Tx) error) error { return nil }

func TestTheKeeperRunsEveryHourUntilItIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, done := &none{}, make(chan error)
		go func() { done <- keep(s, retention.Config{Deployments: 100}).Run(ctx) }()
		<-time.After(150 * time.Minute)
		cancel()
		if err := <-done; err != nil || s.asked != 3 {
			t.Errorf("asked %d times, %v", s.asked, err)
		}
	})
}

func TestWhatLetsInGoesWithItsTimeAfterItsEnd(t *testing.T) {
	w := world{t, open(t)}
	token := func(n int, expires, revoked time.Time) berth.Token {
		return berth.Token{ID: berth.NewID(), Name: "t", Hash: []byte{byte(n)}, Role: berth.RoleOperator, CreatedAt: noon, ExpiresAt: expires, RevokedAt: revoked}
	}
	day := 24 * time.Hour
	stay := []berth.Token{token(1, time.Time{}, time.Time{}), token(2, noon.Add(-day+time.Second), time.Time{}), token(3, time.Time{}, noon.Add(-day+time.Second))}
	ended := []berth.Token{token(4, noon.Add(-day-time.Second), time.Time{}), token(5, noon.Add(day), noon.Add(-day-time.Second))}
	w.tx(func(tx store.Tx) (err error) {
		for _, k := range slices.Concat(stay, ended) {
			err = errors.Join(err, tx.InsertToken(w.Context(), k))
		}
		return err
	})
	if err := keep(w.store, config).Round(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	w.view(func(tx store.Tx) error {
		list, _, err := tx.ListTokens(w.Context(), "", store.Page{})
		if len(list) != len(stay) || !slices.EqualFunc(list, stay, func(a, b berth.Token) bool { return a.ID == b.ID }) {
			t.Errorf("%d tokens stayed: %+v", len(list), list)
		}
		return err
	})
}
