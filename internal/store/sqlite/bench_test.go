package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

// stocked returns a database of 100 tenants.
func stocked(b *testing.B) *sqlite.Store {
	s := open(b, filepath.Join(b.TempDir(), "berth.db"))
	ctx := b.Context()
	err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
		for n := range 100 {
			if err := tx.InsertTenant(ctx, newTenant(n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkOneUpdateInATransaction(b *testing.B) {
	s := stocked(b)
	ctx := b.Context()
	for b.Loop() {
		err := s.InTx(ctx, berth.System(), func(tx store.Tx) error {
			t, err := tx.Tenant(ctx, orgID(7))
			if err != nil {
				return err
			}
			t.Generation++
			return tx.UpdateTenant(ctx, &t)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListOf100(b *testing.B) {
	s := stocked(b)
	ctx := b.Context()
	for b.Loop() {
		err := s.View(ctx, berth.System(), func(tx store.Tx) error {
			page, _, err := tx.ListTenants(ctx, store.TenantFilter{})
			if len(page) != 100 {
				b.Fatalf("%d tenants", len(page))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOneTenant(b *testing.B) {
	s := stocked(b)
	for b.Loop() {
		if _, err := read(b.Context(), s, orgID(7)); err != nil {
			b.Fatal(err)
		}
	}
}
