package control

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type holders map[string]bool // by engine id, whether it is led

func (h holders) Holder(_ context.Context, engineID string) (holder, url string, live bool, err error) {
	return "", "", h[engineID], nil
}

func TestAHandOverMarksNoTenantAndAnEngineThatNobodyLeadsDoes(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	led := holders{"here": true, "there": true}
	orgs := map[string]string{}
	for i, engine := range []string{"here", "there"} {
		one := berth.Tenant{
			ID: berth.NewID(), OrganizationID: berth.NewID(), Name: engine, Slug: engine, EngineID: engine, Want: berth.WantRunning,
			Generation: 1, Status: berth.StatusRunning, Health: berth.HealthHealthy, ExternalPort: 3001 + i, URL: "http://localhost",
			Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, 0, byte(16 * i)}), 28), CreatedAt: noon, UpdatedAt: noon,
			Spec: berth.Spec{ImageTag: "app:1", Limits: berth.Limits{CPU: 1, MemoryMB: 512, DiskMB: 2048}, Replicas: 1, InternalPort: 3000, Blueprint: "builtin@1"},
		}
		orgs[engine] = one.OrganizationID
		if err := db.InTx(ctx, berth.System(), func(tx store.Tx) error { return tx.InsertTenant(ctx, one) }); err != nil {
			t.Fatal(err)
		}
	}
	watch := orphans{leases: led, store: db}
	look := func() {
		t.Helper()
		if err := watch.look(ctx); err != nil {
			t.Fatal(err)
		}
	}
	health := func(engine string) (h berth.Health) {
		err := db.View(ctx, berth.System(), func(tx store.Tx) error {
			one, err := tx.Tenant(ctx, orgs[engine])
			h = one.Health
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	for range 3 { // each look meets another hand-over
		led["there"] = false
		look()
		led["there"] = true
		look()
	}
	if got := health("there"); got != berth.HealthHealthy {
		t.Errorf("a hand-over made its tenants %s", got)
	}
	led["there"] = false
	look()
	look()
	if here, there := health("here"), health("there"); here != berth.HealthHealthy || there != berth.HealthUnknown {
		t.Errorf("led: %s; left alone: %s", here, there)
	}
}
