// Package storetest is the suite that every store passes. What it says of a
// store is what package store promises; how a database does it is tested
// beside that database.
package storetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Run tests stores that open returns: each one empty, and closed by the test's
// own cleanup.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Transactions", transactionTests},
		{"Tenants", tenantTests},
		{"Lists", listTests},
		{"Deployments", deploymentTests},
		{"Records", recordTests},
		{"Blueprints", blueprintTests},
		{"Journal", journalTests},
		{"Usage", usageTests},
		{"Health", healthTests},
		{"Notifications", notificationTests},
		{"Images", imageTests},
		{"Foreign", foreignTests},
		{"Tokens", tokenTests},
		{"Organizations", organizationTests},
		{"People", peopleTests},
		{"Audit", auditTests},
		{"Sealings", sealingTests},
		{"Pages", pageTests},
		{"Actors", actorTests},
		{"Retention", append(trimTests(), retentionTests...)},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(fixture{T: t, store: open(t)})
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(fixture)
}

// fixture is one test and its store.
type fixture struct {
	*testing.T
	store store.Store
}

var operator = berth.Actor{ID: "token-1", Name: "ops", Role: berth.RoleOperator}

// of is an actor who may see one organization.
func of(organizationID string) berth.Actor {
	return berth.Actor{ID: "of " + organizationID, Role: berth.RoleOperator, OrganizationID: organizationID}
}

// noon is a moment with microseconds.
var noon = time.Date(2026, 2, 28, 12, 0, 0, 123456000, time.UTC)

// id is the n-th id of anything but an organization.
func id(n int) string { return fmt.Sprintf("11111111-0000-4000-8000-%012x", n) }

// digest is the n-th SHA-256.
func digest(n int) []byte {
	sum := sha256.Sum256([]byte{byte(n >> 8), byte(n)})
	return sum[:]
}

// org is the n-th organization's id.
func org(n int) string { return fmt.Sprintf("550e8400-e29b-41d4-a716-%012x", n) }

// tenant is the n-th tenant, complete, and different from all others in
// everything that must be.
func tenant(n int) berth.Tenant {
	return berth.Tenant{
		ID: berth.NewID(), OrganizationID: org(n), Name: fmt.Sprintf("Tenant %d", n), Slug: fmt.Sprintf("tenant-%d", n),
		EngineID: "engine-1", Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(n >> 4), byte(n << 4)}), 28),
		ExternalPort: 3000 + n, URL: fmt.Sprintf("http://localhost:%d", 3000+n),
		Want: berth.WantRunning, Spec: spec("v1"), Generation: 1, Released: 1,
		Status: berth.StatusRunning, Health: berth.HealthHealthy, ContainerID: fmt.Sprintf("c%064d", n),
		LastStartedAt: noon.Add(time.Second), LastProbedAt: noon.Add(time.Minute),
		CreatedAt: noon, UpdatedAt: noon.Add(time.Hour), CreatedBy: "token-1",
	}
}

func spec(tag string) berth.Spec {
	return berth.Spec{
		ImageTag: tag, ImageDigest: "repo@sha256:" + tag, Blueprint: "single@1", Release: 1,
		Images: map[string]string{"db": "db@sha256:" + tag, "cache": "cache@sha256:" + tag},
		Limits: berth.Limits{CPU: 0.07, MemoryMB: 512, DiskMB: 2048}, Replicas: 2, InternalPort: 3000,
		Environment: map[string]string{"KEY": berth.NewID(), "_<&>": berth.NewID()},
	}
}

// deployment is an open deployment of n.
func deployment(n berth.Tenant) berth.Deployment {
	return berth.Deployment{
		ID: berth.NewID(), TenantID: n.ID, OrganizationID: n.OrganizationID, Type: berth.DeployUpdate,
		Status: berth.DeploymentPending, Generation: n.Generation, New: n.Spec, Want: berth.WantRunning,
		By: "token-1", CreatedAt: noon,
	}
}

// tx runs fn in a write transaction of the operator and fails the test on an error.
func (f fixture) tx(fn func(ctx context.Context, tx store.Tx) error) {
	f.Helper()
	if err := f.try(operator, fn); err != nil {
		f.Fatalf("transaction: %v", err)
	}
}

// try runs fn in a write transaction and returns its error.
func (f fixture) try(actor berth.Actor, fn func(ctx context.Context, tx store.Tx) error) error {
	f.Helper()
	ctx := f.Context()
	return f.store.InTx(ctx, actor, func(tx store.Tx) error { return fn(ctx, tx) })
}

// view runs fn on a snapshot and fails the test on an error.
func (f fixture) view(actor berth.Actor, fn func(ctx context.Context, tx store.Tx) error) {
	f.Helper()
	ctx := f.Context()
	if err := f.store.View(ctx, actor, func(tx store.Tx) error { return fn(ctx, tx) }); err != nil {
		f.Fatalf("view: %v", err)
	}
}

// insert stores tenants.
func (f fixture) insert(tenants ...berth.Tenant) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, n := range tenants {
			if err := tx.InsertTenant(ctx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// get returns the living tenant of an organization.
func (f fixture) get(organizationID string) (got berth.Tenant) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) (err error) {
		got, err = tx.Tenant(ctx, organizationID)
		return err
	})
	return got
}

// bury turns the living tenant of an organization into a tombstone.
func (f fixture) bury(organizationID string) (gone berth.Tenant) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) (err error) {
		if gone, err = tx.Tenant(ctx, organizationID); err != nil {
			return err
		}
		gone.Want, gone.DeprovisionedAt = berth.WantGone, noon.Add(24*time.Hour)
		return tx.UpdateTenant(ctx, &gone)
	})
	return gone
}

// code fails the test unless err has the code and says what to do.
func (f fixture) code(err error, want berth.Code) {
	f.Helper()
	if berth.CodeOf(err) != want {
		f.Fatalf("got error %v (code %q), want code %q", err, berth.CodeOf(err), want)
	}
	if e, ok := err.(*berth.Error); !ok || e.Hint == "" || e.Message == "" {
		f.Errorf("the error %v lacks a message or a hint", err)
	}
}

// same fails the test unless got is want. Absent and empty collections are the same.
func (f fixture) same(got, want any) {
	f.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		f.Fatalf("not what was stored (-want +got):\n%s", diff)
	}
}
