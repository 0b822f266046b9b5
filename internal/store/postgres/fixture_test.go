package postgres_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
)

var noon = time.Date(2026, 2, 28, 12, 0, 0, 123456000, time.UTC)

func orgID(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012x", n) }

func of(role berth.Role, n int) berth.Actor {
	return berth.Actor{ID: berth.NewID(), Role: role, OrganizationID: orgID(n)}
}

func newTenant(n int) berth.Tenant {
	return berth.Tenant{
		ID: berth.NewID(), OrganizationID: orgID(n), Name: fmt.Sprintf("Tenant %d", n), Slug: fmt.Sprintf("tenant-%d", n), EngineID: "engine-1",
		Subnet:       netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64 + byte(n>>12), byte(n >> 4), byte(n << 4)}), 28),
		ExternalPort: 3001 + n, URL: "http://localhost", Want: berth.WantRunning, Generation: 1, Status: berth.StatusRunning, Health: berth.HealthHealthy,
		Spec:      berth.Spec{ImageTag: "v1", Blueprint: "single@1", Limits: berth.DefaultLimits(), Replicas: 1, Environment: map[string]string{"KEY": berth.NewID()}},
		CreatedAt: noon, UpdatedAt: noon, CreatedBy: "token-1",
	}
}

// insert stores a tenant and fails the test on an error.
func insert(t testing.TB, s store.Store, n int) {
	t.Helper()
	if err := tryInsert(t.Context(), s, n); err != nil {
		t.Fatal(err)
	}
}

func tryInsert(ctx context.Context, s store.Store, n int) error {
	return s.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.InsertTenant(ctx, newTenant(n)) })
}

// ports are those of all tenants that are there.
func ports(t testing.TB, s store.Store) (list []int) {
	t.Helper()
	err := s.View(t.Context(), berth.System(), func(tx store.Tx) (err error) {
		list, err = tx.TakenPorts(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// ask reads one value inside a transaction.
func ask[T any](t testing.TB, tx store.Tx, query string, args ...any) (v T) {
	t.Helper()
	if err := postgres.Ask(t.Context(), tx, []any{&v}, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// until polls.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("in vain: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
