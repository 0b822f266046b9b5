package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var retentionTests = []test{
	{"of a history the newest stay, what they go back to, what is spared and what a key answers with", func(f fixture) {
		f.insert(tenant(1), tenant(2))
		n := f.get(org(1))
		var all []berth.Deployment
		for i := range 12 {
			d := over(deployment(n), berth.DeploymentCompleted)
			d.CreatedAt = noon.Add(-time.Duration(i) * time.Hour) // a clock that ran backwards: the order counts
			all = append(all, d)
		}
		all[11].RollbackOf, all[7].RollbackOf, all[6].RollbackOf, all[4].RollbackOf = all[4].ID, all[6].ID, all[0].ID, all[1].ID
		f.order(all...)
		other := over(deployment(f.get(org(2))), berth.DeploymentFailed)
		f.order(other)
		open := deployment(n)
		f.order(open)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			return tx.PutRequest(ctx, store.Request{Key: "k", Fingerprint: []byte{1}, DeploymentID: all[2].ID, CreatedAt: noon})
		})
		s := store.Surplus{OrganizationID: org(1), Keep: 3, Spare: []string{all[6].ID}, Limit: 100}
		f.same(f.long(12), []string{org(1)})
		f.same(f.long(13), []string{})
		due := []string{all[9].ID, all[8].ID, all[7].ID, all[5].ID, all[3].ID, all[1].ID, all[0].ID}
		f.same(f.surplus(s), due)
		s.Limit = 2
		f.same(f.surplus(s), due[:2])
		// Asked of some, whoever is open, spared, gone back to, answered with or another's is not among them.
		some := s
		some.Among, some.Limit = []string{all[0].ID, all[2].ID, all[4].ID, all[6].ID, all[9].ID, all[11].ID, open.ID, other.ID, berth.NewID()}, 9
		f.same(f.surplus(some), []string{all[9].ID, all[0].ID})
		some.Limit = 1
		f.same(f.surplus(some), []string{all[9].ID})
		some.Among = []string{}
		f.same(f.surplus(some), []string{})
		f.drop(due...)
		f.same(f.surplus(s), []string{})
		left := f.history(org(1), 100)
		// What stays though it rolled back to what goes has forgotten that; all else is as it was.
		all[6].RollbackOf, all[4].RollbackOf = "", ""
		f.same(left, []berth.Deployment{open, all[11], all[10], all[6], all[4], all[2]})
		f.same(f.long(6), []string{})
	}},
	{"a deployment that is open is not dropped, and a short history has no surplus", func(f fixture) {
		f.insert(tenant(1))
		open := deployment(f.get(org(1)))
		f.order(open)
		f.drop(open.ID, berth.NewID())
		f.open(org(1), &open)
		for _, keep := range []int{0, 1, 2, 100} {
			f.same(f.surplus(store.Surplus{OrganizationID: org(1), Keep: keep, Limit: 10}), []string{})
		}
		f.same(f.surplus(store.Surplus{OrganizationID: org(9), Keep: 1, Limit: 10}), []string{})
	}},
	{"a secret version is unused when no tenant, tombstone or deployment refers to it", func(f fixture) {
		one := func(tag string, n int) berth.Spec {
			s := spec(tag)
			s.Environment = map[string]string{"A": id(n)}
			return s
		}
		buried, living := tenant(1), tenant(1)
		buried.Spec, living.Spec = one("v1", 1), one("v2", 2)
		f.insert(buried)
		f.bury(org(1))
		f.insert(living)
		n := f.get(org(1))
		d := over(deployment(n), berth.DeploymentCompleted)
		before := one("v3", 3)
		d.Previous, d.New = &before, one("v4", 4)
		f.order(d)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for i := 1; i <= 6; i++ {
				if err := tx.InsertSecret(ctx, store.SecretVersion{ID: id(i), OrganizationID: org(1), Name: "A", Ciphertext: []byte{1}, CreatedAt: noon}); err != nil {
					return err
				}
			}
			return tx.InsertSecret(ctx, store.SecretVersion{ID: id(7), OrganizationID: org(2), Name: "A", Ciphertext: []byte{1}, CreatedAt: noon})
		})
		unused := func(organizationID string, limit int) (list []string) {
			f.view(berth.System(), func(ctx context.Context, tx store.Tx) (err error) {
				list, err = tx.UnusedSecrets(ctx, organizationID, limit)
				return err
			})
			slices.Sort(list)
			return list
		}
		f.same(unused(org(1), 10), []string{id(5), id(6)})
		f.same(len(unused(org(1), 1)), 1)
		f.same(unused(org(2), 10), []string{id(7)})
		f.drop(d.ID)
		f.same(unused(org(1), 10), []string{id(3), id(4), id(5), id(6)})
		f.try(berth.System(), func(ctx context.Context, tx store.Tx) error { return tx.DropSecrets(ctx, []string{id(3), id(6)}) })
		f.same(unused(org(1), 10), []string{id(4), id(5)})
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Secrets(ctx, org(1), []string{id(1), id(2), id(4), id(5)})
			return err
		})
	}},
	{"a tombstone goes with all that was recorded of it, and nothing of who lives", func(f fixture) {
		f.life(1)
		gone := f.bury(org(1))
		f.life(1)
		f.life(2)
		after := gone.DeprovisionedAt.Add(time.Second)
		if n := f.bulldozed(gone.DeprovisionedAt); n != 0 {
			f.Errorf("%d went before their time", n)
		}
		mine, others := f.history(org(1), 100), f.history(org(2), 100)
		if n := f.bulldozed(after); n != 1 {
			f.Fatalf("%d went", n)
		}
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Tombstone(ctx, org(1))
			f.code(err, berth.CodeContainerNotFound)
			return nil
		})
		f.same(f.history(org(1), 100), mine[:len(mine)-3])
		f.same(f.history(org(2), 100), others)
		f.same(len(f.usage(operator, 1, berth.ByMinute, noon, noon.Add(time.Hour), 10)), 1)
		// The living one is as whole as another's.
		f.same(f.sums(operator, berth.ByHour, hour.Add(-time.Hour), hour.Add(time.Hour))[0].Healthy, 1)
		if n := f.bulldozed(noon.Add(distant)); n != 0 {
			f.Errorf("%d who live went", n)
		}
	}},
	{"a tombstone stays while a volume that was kept is there, a deployment is open or a key answers with it", func(f fixture) {
		f.insert(tenant(1), tenant(2), tenant(3), tenant(4))
		volume := func(v berth.VolumeRecord) {
			f.tx(func(ctx context.Context, tx store.Tx) error { return tx.PutVolume(ctx, v) })
		}
		kept := berth.VolumeRecord{OrganizationID: org(1), Name: "v1", Mount: "/data", CreatedAt: noon, KeptAt: noon}
		recorded := berth.VolumeRecord{OrganizationID: org(2), Name: "v2", Mount: "/data", CreatedAt: noon}
		volume(kept)
		volume(recorded)
		open := deployment(f.get(org(3)))
		answered := over(deployment(f.get(org(4))), berth.DeploymentCompleted)
		f.order(open, answered)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			return tx.PutRequest(ctx, store.Request{Key: "k", Fingerprint: []byte{1}, DeploymentID: answered.ID, CreatedAt: noon})
		})
		for n := 1; n <= 4; n++ {
			f.bury(org(n))
		}
		late := noon.Add(distant)
		there := func(want ...int) {
			f.Helper()
			f.bulldozed(late)
			for n := 1; n <= 4; n++ {
				f.view(operator, func(ctx context.Context, tx store.Tx) error {
					_, err := tx.Tombstone(ctx, org(n))
					if is := err == nil; is != slices.Contains(want, n) {
						f.Errorf("the tombstone of %d is there: %v, want %v", n, is, !is)
					}
					return nil
				})
			}
		}
		there(1, 2, 3, 4)
		recorded.DeletedAt = noon
		volume(recorded)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			if err := tx.UpdateDeployment(ctx, over(open, berth.DeploymentFailed)); err != nil {
				return err
			}
			_, err := tx.ForgetRequests(ctx, late, 10)
			return err
		})
		there(1)
		// Who has a tenant again has its volumes; what was kept and not taken up stays told of.
		f.insert(tenant(1))
		there(1)
		kept.KeptAt = time.Time{}
		volume(kept)
		there()
	}},
}

// life gives an organization a tenant with some of all that is recorded of one.
func (f fixture) life(n int) {
	f.Helper()
	f.insert(tenant(n))
	t := f.get(org(n))
	first, second := over(deployment(t), berth.DeploymentCompleted), over(deployment(t), berth.DeploymentCompleted)
	second.RollbackOf = first.ID
	f.order(first, second, over(deployment(t), berth.DeploymentFailed))
	f.record(probeAt(n, noon, berth.ProbeHealthy, time.Second))
	f.putUsage(usage(n, len(f.history(org(n), 100))))
	f.putHealth(berth.HealthPeriod{TenantID: t.ID, OrganizationID: org(n), Resolution: berth.ByHour, Start: hour.Add(-time.Hour), Healthy: 1})
}

func (f fixture) bulldozed(before time.Time) (n int) {
	f.Helper()
	err := f.try(berth.System(), func(ctx context.Context, tx store.Tx) (err error) {
		n, err = bulldoze(ctx, tx, before, 100)
		return err
	})
	if err != nil {
		f.Fatalf("drop tombstones: %v", err)
	}
	return n
}

func (f fixture) long(keep int) (list []string) {
	f.Helper()
	f.view(berth.System(), func(ctx context.Context, tx store.Tx) (err error) {
		list, err = tx.LongHistories(ctx, keep)
		return err
	})
	return list
}

func (f fixture) surplus(s store.Surplus) (list []string) {
	f.Helper()
	f.view(berth.System(), func(ctx context.Context, tx store.Tx) (err error) {
		list, err = tx.SurplusDeployments(ctx, s)
		return err
	})
	return list
}

func (f fixture) drop(ids ...string) {
	f.Helper()
	if err := f.try(berth.System(), func(ctx context.Context, tx store.Tx) error { return tx.DropDeployments(ctx, ids) }); err != nil {
		f.Fatalf("drop deployments: %v", err)
	}
}
