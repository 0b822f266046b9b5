package storetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var recordTests = []test{
	{"secrets come back by id, whatever bytes they hold", func(f fixture) {
		a := store.SecretVersion{ID: "a" + berth.NewID()[1:], OrganizationID: org(1), Name: "KEY", Ciphertext: []byte{0, 1, 0xff, '\'', 0}, CreatedAt: noon}
		b := store.SecretVersion{ID: "b" + berth.NewID()[1:], OrganizationID: org(1), Name: "KEY", Ciphertext: []byte("x"), CreatedAt: noon.Add(time.Second)}
		foreign := store.SecretVersion{ID: berth.NewID(), OrganizationID: org(2), Name: "KEY", Ciphertext: []byte("y"), CreatedAt: noon}
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, v := range []store.SecretVersion{a, b, foreign} {
				if err := tx.InsertSecret(ctx, v); err != nil {
					return err
				}
			}
			return nil
		})
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			for _, c := range []struct {
				ids  []string
				want []store.SecretVersion
			}{{[]string{a.ID}, []store.SecretVersion{a}}, {[]string{b.ID, a.ID, b.ID}, []store.SecretVersion{a, b}}, {nil, nil}} {
				got, err := tx.Secrets(ctx, org(1), c.ids)
				if err != nil {
					return err
				}
				f.same(byID(got), c.want)
			}
			for _, ids := range [][]string{{a.ID, berth.NewID()}, {foreign.ID}, {""}} {
				_, err := tx.Secrets(ctx, org(1), ids)
				f.code(err, berth.CodeNotFound)
			}
			return nil
		})
		// A version is never changed.
		again := a
		again.Ciphertext = []byte("changed")
		if err := f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.InsertSecret(ctx, again) }); err == nil {
			f.Error("a secret version was stored twice")
		}
	}},
	{"there is one credential per registry", func(f fixture) {
		a := store.StoredCredential{Registry: "b.example:5000", Username: "u", Ciphertext: []byte{0, 1}, UpdatedAt: noon}
		b := store.StoredCredential{Registry: "a.example", Username: "v", Ciphertext: []byte{2}, UpdatedAt: noon}
		changed := a
		changed.Username, changed.Ciphertext, changed.UpdatedAt = "w", []byte{3}, noon.Add(time.Hour)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, c := range []store.StoredCredential{a, b, changed} {
				if err := tx.PutCredential(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			list, _, err := tx.ListCredentials(ctx, store.Page{})
			f.same(list, []store.StoredCredential{b, changed})
			if err != nil {
				return err
			}
			got, ok, err := tx.Credential(ctx, a.Registry)
			f.same(got, changed)
			if _, absent, _ := tx.Credential(ctx, "c.example"); !ok || absent {
				f.Errorf("found %v, and one that is not there %v", ok, absent)
			}
			return err
		})
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.DeleteCredential(ctx, a.Registry) })
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.DeleteCredential(ctx, a.Registry) }), berth.CodeNotFound)
	}},
	{"volumes are listed until they are gone by order", func(f fixture) {
		v := func(n int, name string) berth.VolumeRecord {
			return berth.VolumeRecord{OrganizationID: org(n), Name: name, Mount: "/data", EngineID: "e", CreatedAt: noon}
		}
		a, b, c := v(1, "z"), v(1, "a"), v(2, "m")
		kept := a
		kept.KeptAt = noon.Add(time.Hour)
		gone := c
		gone.DeletedAt = noon.Add(time.Hour)
		put := func(list ...berth.VolumeRecord) {
			f.tx(func(ctx context.Context, tx store.Tx) error {
				for _, r := range list {
					if err := tx.PutVolume(ctx, r); err != nil {
						return err
					}
				}
				return nil
			})
		}
		check := func(organizationID string, want ...berth.VolumeRecord) {
			f.Helper()
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				got, _, err := tx.ListVolumes(ctx, organizationID, store.Page{})
				f.same(got, want)
				return err
			})
		}
		put(a, b, c)
		check(org(1), b, a)
		check("", b, c, a)
		put(kept, gone)
		check("", b, kept)
		check(org(2))
		put(c) // made again
		check(org(2), c)
	}},
	{"the volumes of an engine are those of its living tenants, whatever engine they are recorded with", func(f fixture) {
		a, b, c, d := tenant(1), tenant(2), tenant(3), tenant(4)
		b.EngineID, c.EngineID = "engine-2", ""
		f.insert(a, b, c, d)
		v := func(n int, name, engine string) berth.VolumeRecord {
			return berth.VolumeRecord{OrganizationID: org(n), Name: name, Mount: "/data", EngineID: engine, CreatedAt: noon}
		}
		a1, a2, b1, c1, d1 := v(1, "z", "engine-1"), v(1, "a", "engine-2"), v(2, "b", "engine-2"), v(3, "c", ""), v(4, "d", "")
		gone, kept := v(1, "gone", "engine-1"), v(5, "kept", "engine-1") // the organization of kept has no tenant any more
		gone.DeletedAt, kept.KeptAt, a2.KeptAt = noon.Add(time.Hour), noon.Add(time.Hour), noon.Add(time.Hour)
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, r := range []berth.VolumeRecord{a1, a2, b1, c1, d1, gone, kept} {
				if err := tx.PutVolume(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
		check := func(actor berth.Actor, engine string, want ...berth.VolumeRecord) {
			f.Helper()
			sorted := map[string][]berth.VolumeRecord{}
			for _, r := range want {
				sorted[r.OrganizationID] = append(sorted[r.OrganizationID], r)
			}
			f.view(actor, func(ctx context.Context, tx store.Tx) error {
				got, err := tx.TenantVolumes(ctx, engine)
				for _, of := range got {
					slices.SortFunc(of, func(a, b berth.VolumeRecord) int { return strings.Compare(a.Name, b.Name) })
				}
				f.same(got, sorted)
				return err
			})
		}
		check(operator, "engine-1", a2, a1, d1)
		check(operator, "engine-2", b1)
		check(operator, "", c1)
		check(operator, "engine-3")
		check(of(org(4)), "engine-1", d1)
		check(of(org(2)), "engine-1")
	}},
	{"requests are kept per actor and key", func(f fixture) {
		n := tenant(1)
		f.insert(n)
		d := deployment(n)
		f.order(d)
		r := store.Request{Key: "k", Fingerprint: []byte{0, 9}, DeploymentID: d.ID, CreatedAt: noon}
		other := berth.Actor{ID: "token-2", Role: berth.RoleOperator}
		put := func(actor berth.Actor, r store.Request) {
			if err := f.try(actor, func(ctx context.Context, tx store.Tx) error { return tx.PutRequest(ctx, r) }); err != nil {
				f.Fatal(err)
			}
		}
		check := func(actor berth.Actor, key string, want *store.Request) {
			f.Helper()
			f.view(actor, func(ctx context.Context, tx store.Tx) error {
				got, ok, err := tx.Request(ctx, key)
				if ok != (want != nil) {
					f.Fatalf("request found: %v, want %v", ok, want != nil)
				}
				if ok {
					f.same(got, *want)
				}
				return err
			})
		}
		put(operator, r)
		check(operator, "k", &r)
		check(operator, "K", nil)
		check(other, "k", nil)
		answered := r
		answered.Status, answered.Answer = 201, []byte(`{"success":true}`)
		put(operator, answered)
		check(operator, "k", &answered)
		theirs := store.Request{Key: "k", Fingerprint: []byte{1}, CreatedAt: noon.Add(time.Hour)}
		put(other, theirs)
		check(operator, "k", &answered)
		put(operator, store.Request{Key: "k2", Fingerprint: []byte{1}, CreatedAt: noon.Add(-time.Hour)})
		for i, want := range []int{1, 1, 0} { // a batch at a time, the oldest first
			f.tx(func(ctx context.Context, tx store.Tx) error {
				n, err := tx.ForgetRequests(ctx, noon.Add(time.Microsecond), 1)
				if n != want {
					f.Errorf("batch %d dropped %d, want %d", i, n, want)
				}
				return err
			})
			if i == 0 {
				check(operator, "k", &answered)
				check(operator, "k2", nil)
			}
		}
		check(operator, "k", nil)
		check(other, "k", &theirs)
		put(operator, r)
		for range 2 { // one that is not there any more, too
			f.tx(func(ctx context.Context, tx store.Tx) error { return tx.DropRequest(ctx, "k") })
			check(operator, "k", nil)
			check(other, "k", &theirs)
		}
	}},
}

func byID(list []store.SecretVersion) []store.SecretVersion {
	if len(list) == 2 && list[0].ID > list[1].ID {
		list[0], list[1] = list[1], list[0]
	}
	return list
}

var journalTests = []test{
	{"events are listed newest first", func(f fixture) {
		e := func(n int, organizationID string) berth.Event {
			return berth.Event{ID: berth.NewID(), OrganizationID: organizationID, At: noon.Add(-time.Duration(n) * time.Hour), Kind: "drift", Message: "m 🚢"}
		}
		a, b, c, d := e(1, org(1)), e(2, ""), e(3, org(2)), e(4, org(1))
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, v := range []berth.Event{a, b, c, d} {
				if err := tx.InsertEvent(ctx, v); err != nil {
					return err
				}
			}
			return nil
		})
		for _, q := range []struct {
			organizationID string
			limit          int
			want           []berth.Event
		}{{org(1), 0, []berth.Event{d, a}}, {"", 0, []berth.Event{d, c, b, a}}, {"", 2, []berth.Event{d, c}}, {org(1), 1, []berth.Event{d}}, {org(3), 0, nil}} {
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				got, _, err := tx.ListEvents(ctx, q.organizationID, store.Page{Limit: q.limit})
				f.same(got, q.want)
				return err
			})
		}
	}},
	{"probes are the living tenant's, newest first, and outlive it", func(f fixture) {
		p := berth.Probe{OrganizationID: org(1), CheckedAt: noon, Status: berth.ProbeHealthy, ResponseTime: 12 * time.Millisecond,
			HTTPStatus: 200, Type: "http", Endpoint: "/api/health"}
		q := berth.Probe{OrganizationID: org(1), CheckedAt: noon.Add(time.Second), Status: berth.ProbeTimeout, Cause: "no answer in 5s", Type: "http", Endpoint: "/"}
		put := func(p berth.Probe) error {
			return f.try(berth.System(), func(ctx context.Context, tx store.Tx) error { return tx.InsertProbe(ctx, p) })
		}
		f.code(put(p), berth.CodeContainerNotFound)
		f.insert(tenant(1))
		for _, probe := range []berth.Probe{p, q} {
			if err := put(probe); err != nil {
				f.Fatal(err)
			}
		}
		check := func(limit int, want ...berth.Probe) {
			f.Helper()
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				got, _, err := tx.ListProbes(ctx, org(1), store.Page{Limit: limit})
				f.same(got, want)
				return err
			})
		}
		check(0, q, p)
		check(1, q)
		f.bury(org(1))
		check(0, q, p)
		f.code(put(p), berth.CodeContainerNotFound)
	}},
	{"an answer within a millisecond is not taken for none", func(f fixture) {
		f.insert(tenant(1))
		f.tx(func(ctx context.Context, tx store.Tx) error {
			return tx.InsertProbe(ctx, berth.Probe{OrganizationID: org(1), CheckedAt: noon, Status: berth.ProbeHealthy, ResponseTime: 40 * time.Microsecond, HTTPStatus: 200})
		})
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			got, _, err := tx.ListProbes(ctx, org(1), store.Page{})
			if len(got) != 1 || got[0].ResponseTime != time.Millisecond {
				f.Errorf("got %v, want one answer after 1ms", got)
			}
			return err
		})
	}},
}
