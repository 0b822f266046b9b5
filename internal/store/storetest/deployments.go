package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var deploymentTests = []test{
	{"a deployment comes back as it was stored", func(f fixture) {
		n := tenant(1)
		f.insert(n)
		first := over(deployment(n), berth.DeploymentCompleted)
		first.Type, first.CanRollback = berth.DeployProvision, true
		f.order(first)
		previous := spec("v0")
		d := deployment(n)
		d.Type, d.Previous, d.PreviousWant, d.RollbackOf = berth.DeployRollback, &previous, berth.WantStopped, first.ID
		d.PreviousName = "as it was called"
		d.Volumes, d.Notes, d.New = berth.VolumesDelete, "because 🚢 'quoted'", spec("v2")
		d.Adopt, d.New.Release = true, 7
		d.Steps = []berth.DeploymentStep{
			{Name: "image", StartedAt: noon, EndedAt: noon.Add(time.Second)},
			{Name: "apply", StartedAt: noon.Add(time.Second), EndedAt: noon.Add(time.Minute), Error: "no room"},
		}
		f.order(d)
		f.same(f.deployment(first.ID), first)
		f.same(f.deployment(d.ID), d)
	}},
	{"a deployment under way can be brought on, and is over once", func(f fixture) {
		n := tenant(1)
		f.insert(n)
		for _, end := range []berth.DeploymentStatus{berth.DeploymentCompleted, berth.DeploymentFailed, berth.DeploymentSuperseded} {
			d := deployment(n)
			d.New.ImageDigest = ""
			f.order(d)
			d.StartedAt, d.New.ImageDigest = noon.Add(time.Second), "repo@sha256:abc"
			f.tx(func(ctx context.Context, tx store.Tx) error { return tx.UpdateDeployment(ctx, d) })
			f.same(f.deployment(d.ID), d)
			d = over(d, end)
			d.Error, d.CanRollback = "why", true
			f.tx(func(ctx context.Context, tx store.Tx) error { return tx.UpdateDeployment(ctx, d) })
			f.same(f.deployment(d.ID), d)
			for _, rewrite := range []berth.DeploymentStatus{berth.DeploymentPending, berth.DeploymentCompleted, berth.DeploymentFailed} {
				r := d
				r.Status, r.Error = rewrite, "rewritten"
				f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.UpdateDeployment(ctx, r) }), berth.CodeStale)
			}
			f.same(f.deployment(d.ID), d)
		}
	}},
	{"a tenant has at most one open deployment", func(f fixture) {
		f.insert(tenant(1), tenant(2))
		one, two := f.get(org(1)), f.get(org(2))
		d := deployment(one)
		f.order(d, deployment(two))
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error {
			return tx.InsertDeployment(ctx, deployment(one))
		}), berth.CodeDeploymentInProgress)
		f.open(org(1), &d)
		// Superseding and ordering anew is one transaction.
		next := deployment(one)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			if err := tx.UpdateDeployment(ctx, over(d, berth.DeploymentSuperseded)); err != nil {
				return err
			}
			return tx.InsertDeployment(ctx, next)
		})
		f.open(org(1), &next)
	}},
	{"open deployments are those of living tenants", func(f fixture) {
		f.insert(tenant(2), tenant(1), tenant(3))
		one, two, three := f.get(org(1)), f.get(org(2)), f.get(org(3))
		d1, d2 := deployment(one), deployment(two)
		f.order(d2, d1, over(deployment(three), berth.DeploymentCompleted))
		f.openAre(berth.Maybe[string]{}, d1, d2)
		f.open(org(3), nil)
		f.openAre(berth.Known("engine-1"), d1, d2)
		f.openAre(berth.Known(""))
		one.EngineID = ""
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.UpdateTenant(ctx, &one) })
		f.openAre(berth.Known(""), d1)
		f.openAre(berth.Known("engine-1"), d2)
		f.bury(org(1))
		f.openAre(berth.Maybe[string]{}, d2)
		f.open(org(1), nil)
	}},
	{"history is listed in the order of writing, newest first", func(f fixture) {
		n := tenant(1)
		f.insert(n, tenant(2))
		var want []berth.Deployment
		for i := range 7 {
			d := over(deployment(n), berth.DeploymentCompleted)
			d.CreatedAt = noon.Add(-time.Duration(i) * time.Hour) // the clock runs back
			f.order(d, over(deployment(f.get(org(2))), berth.DeploymentFailed))
			want = append([]berth.Deployment{d}, want...)
		}
		f.same(f.history(org(1), 0), want)
		f.same(f.history(org(1), 3), want)
	}},
	{"pages of history stay while orders come in", func(f fixture) {
		n := tenant(1)
		f.insert(n)
		for range 5 {
			f.order(over(deployment(n), berth.DeploymentCompleted))
		}
		whole := f.history(org(1), 0)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			page, cursor, err := tx.ListDeployments(ctx, org(1), store.Page{Limit: 2})
			if err != nil {
				return err
			}
			f.same(page, whole[:2])
			f.order(over(deployment(n), berth.DeploymentCompleted))
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				page, _, err := tx.ListDeployments(ctx, org(1), store.Page{Cursor: cursor})
				f.same(page, whole[2:])
				return err
			})
			return nil
		})
	}},
	{"the history of tombstones stays", func(f fixture) {
		var want []berth.Deployment
		for round := range 3 {
			n := tenant(1)
			f.insert(n)
			d := over(deployment(n), berth.DeploymentCompleted)
			d.Notes = fmt.Sprint("round ", round)
			f.order(d)
			want = append([]berth.Deployment{d}, want...)
			f.bury(org(1))
		}
		f.same(f.history(org(1), 0), want)
		f.same(f.deployment(want[2].ID), want[2])
	}},
	{"a deployment needs its tenant and its id", func(f fixture) {
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error {
			return tx.InsertDeployment(ctx, deployment(tenant(1)))
		}), berth.CodeContainerNotFound)
		n := tenant(1)
		f.insert(n, tenant(2))
		mixed := deployment(n)
		mixed.OrganizationID = org(2)
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.InsertDeployment(ctx, mixed) }), berth.CodeContainerNotFound)
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.UpdateDeployment(ctx, deployment(n)) }), berth.CodeDeploymentNotFound)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Deployment(ctx, berth.NewID())
			f.code(err, berth.CodeDeploymentNotFound)
			return nil
		})
	}},
}

// over is d with an outcome.
func over(d berth.Deployment, status berth.DeploymentStatus) berth.Deployment {
	d.Status, d.StartedAt, d.CompletedAt = status, noon.Add(time.Second), noon.Add(2*time.Second)
	return d
}

// order stores deployments.
func (f fixture) order(list ...berth.Deployment) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, d := range list {
			if err := tx.InsertDeployment(ctx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f fixture) deployment(id string) (d berth.Deployment) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) (err error) {
		d, err = tx.Deployment(ctx, id)
		return err
	})
	return d
}

// open fails the test unless the organization's open deployment is want; nil
// means none.
func (f fixture) open(organizationID string, want *berth.Deployment) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) error {
		d, ok, err := tx.OpenDeployment(ctx, organizationID)
		if err != nil {
			return err
		}
		if ok != (want != nil) {
			f.Fatalf("open deployment: %v, want %v", ok, want != nil)
		}
		if ok {
			f.same(d, *want)
		}
		return nil
	})
}

func (f fixture) openAre(engine berth.Maybe[string], list ...berth.Deployment) {
	f.Helper()
	want := map[string]string{}
	for _, d := range list {
		want[d.OrganizationID] = d.ID
	}
	f.view(operator, func(ctx context.Context, tx store.Tx) error {
		got, err := tx.OpenDeployments(ctx, engine)
		f.same(got, want)
		return err
	})
}

// history reads every page of so many deployments.
func (f fixture) history(organizationID string, size int) (all []berth.Deployment) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) error {
		for cursor := ""; ; {
			page, next, err := tx.ListDeployments(ctx, organizationID, store.Page{Cursor: cursor, Limit: size})
			if err != nil {
				return err
			}
			all = append(all, page...)
			if next == "" {
				return nil
			}
			cursor = next
		}
	})
	return all
}
