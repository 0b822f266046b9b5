package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var actorTests = []test{
	{"an actor of one organization sees nothing of another", func(f fixture) {
		f.furnish()
		own := f.sees(of(org(1)))
		f.same(own, []string{"tenant", "slug", "tombstone", "list", "deployment", "open", "history", "opens", "secrets", "volumes", "all volumes", "events", "all events", "probes"})
		f.same(f.seesOf(of(org(2)), org(1)), []string(nil))
	}},
	{"the actor that is nobody sees nothing", func(f fixture) {
		f.furnish()
		for _, nobody := range []berth.Actor{{}, {OrganizationID: org(1)}, {ID: "token-1"}, {ID: "system", Name: "berth"}, {Role: "viewer", OrganizationID: org(1)}} {
			f.same(f.sees(nobody), []string(nil))
			f.view(nobody, func(ctx context.Context, tx store.Tx) error {
				ports, err := tx.TakenPorts(ctx)
				subnets, err2 := tx.TakenSubnets(ctx)
				_, err3 := tx.Installation(ctx)
				if len(ports) != 0 || err != nil || len(subnets) != 0 || err2 != nil || err3 == nil {
					f.Errorf("%+v learns ports %v, subnets %v or the installation", nobody, ports, subnets)
				}
				return nil
			})
		}
	}},
	{"the operator and the loop see everything", func(f fixture) {
		f.furnish()
		for _, actor := range []berth.Actor{operator, berth.System()} {
			if got := f.sees(actor); len(got) != 14+4 {
				f.Errorf("%s sees only %v", actor.Name, got)
			}
		}
	}},
	{"who sees any organization reads every blueprint, and nobody else does", func(f fixture) {
		f.furnish()
		for actor, want := range map[berth.Actor]bool{operator: true, berth.System(): true, of(org(1)): true, of(org(9)): true, {}: false, {ID: "token-1"}: false} {
			f.view(actor, func(ctx context.Context, tx store.Tx) error {
				v, err := tx.Blueprint(ctx, "shop", 0)
				list, _, err2 := tx.ListBlueprints(ctx, store.Page{})
				if err2 != nil || (err == nil) != want || (v.Version == 1) != want || (len(list) == 1) != want || err != nil && !berth.Is(err, berth.CodeBlueprintNotFound) {
					f.Errorf("%+v reads %+v (%v) and %d in the list (%v), want it seen: %v", actor, v, err, len(list), err2, want)
				}
				return nil
			})
		}
	}},
	{"who may provision one organization knows every taken port", func(f fixture) {
		f.insert(tenant(1), tenant(2))
		f.view(of(org(1)), func(ctx context.Context, tx store.Tx) error {
			ports, err := tx.TakenPorts(ctx)
			f.same(ports, []int{3001, 3002})
			return err
		})
	}},
	{"nobody writes what it may not see", func(f fixture) {
		f.furnish()
		for _, actor := range []berth.Actor{{}, {ID: "token-1", OrganizationID: org(1)}, of(org(2))} {
			for name, write := range f.writes(org(1)) {
				if err := f.try(actor, write); !berth.Is(err, berth.CodeForbidden) {
					f.Errorf("%s by %+v: %v, want %s", name, actor, err, berth.CodeForbidden)
				}
			}
		}
		for _, actor := range []berth.Actor{{}, of(org(1))} {
			for name, write := range installationWrites() {
				if err := f.try(actor, write); !berth.Is(err, berth.CodeForbidden) {
					f.Errorf("%s by %+v: %v, want %s", name, actor, err, berth.CodeForbidden)
				}
			}
		}
		for _, write := range []func(context.Context, store.Tx) error{
			func(ctx context.Context, tx store.Tx) error {
				return tx.PutRequest(ctx, store.Request{Key: "k", Fingerprint: []byte{1}, CreatedAt: noon})
			},
			func(ctx context.Context, tx store.Tx) error { return tx.ForgetRequests(ctx, noon) },
		} {
			f.code(f.try(berth.Actor{}, write), berth.CodeForbidden)
		}
	}},
	{"an actor of one organization writes its own", func(f fixture) {
		f.furnish()
		for name, write := range f.writes(org(1)) {
			if err := f.try(of(org(1)), write); err != nil {
				f.Errorf("%s: %v", name, err)
			}
		}
	}},
	{"an actor of one organization forgets its own requests only", func(f fixture) {
		put := func(ctx context.Context, tx store.Tx) error {
			return tx.PutRequest(ctx, store.Request{Key: "k", Fingerprint: []byte{1}, CreatedAt: noon})
		}
		for _, actor := range []berth.Actor{operator, of(org(1))} {
			if err := f.try(actor, put); err != nil {
				f.Fatal(err)
			}
		}
		if err := f.try(of(org(1)), func(ctx context.Context, tx store.Tx) error { return tx.ForgetRequests(ctx, noon.Add(time.Hour)) }); err != nil {
			f.Fatal(err)
		}
		for actor, want := range map[berth.Actor]bool{operator: true, of(org(1)): false} {
			f.view(actor, func(ctx context.Context, tx store.Tx) error {
				if _, ok, err := tx.Request(ctx, "k"); ok != want || err != nil {
					f.Errorf("%s: request there %v (%v), want %v", actor.ID, ok, err, want)
				}
				return nil
			})
		}
	}},
	{"a name of a volume can't be taken from another organization", func(f fixture) {
		f.furnish()
		f.code(f.try(of(org(2)), func(ctx context.Context, tx store.Tx) error {
			return tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: org(2), Name: "v1", Mount: "/", CreatedAt: noon})
		}), berth.CodeForbidden)
	}},
}

// Ids of what furnish stores for the first organization.
const (
	furnishedSecret     = "11111111-0000-4000-8000-000000000001"
	furnishedDeployment = "11111111-0000-4000-8000-000000000002"
)

// furnish fills the store with one of everything for the first organization,
// and what belongs to no organization.
func (f fixture) furnish() {
	f.Helper()
	old := tenant(1)
	f.insert(old)
	f.bury(org(1))
	n := tenant(1)
	f.insert(n, tenant(2))
	d := deployment(n)
	d.ID = furnishedDeployment
	f.order(d)
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, err := range []error{
			tx.InsertSecret(ctx, store.SecretVersion{ID: furnishedSecret, OrganizationID: org(1), Name: "K", Ciphertext: []byte{1}, CreatedAt: noon}),
			tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: org(1), Name: "v1", Mount: "/data", CreatedAt: noon}),
			tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), OrganizationID: org(1), At: noon, Kind: "drift", Message: "m"}),
			tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), At: noon, Kind: "engine", Message: "secret of the house"}),
			tx.InsertProbe(ctx, berth.Probe{OrganizationID: org(1), CheckedAt: noon, Status: berth.ProbeHealthy}),
			tx.PutCredential(ctx, store.StoredCredential{Registry: "r", Username: "u", Ciphertext: []byte{1}, UpdatedAt: noon}),
			tx.InsertBlueprint(ctx, berth.BlueprintVersion{Name: "shop", Version: 1, Hash: "sha256:1", Source: []byte("x"), CreatedAt: noon}),
			tx.InsertToken(ctx, berth.Token{ID: "t", Name: "t", Prefix: "p", Hash: []byte{7}, Role: berth.RoleOperator, CreatedAt: noon}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// sees names what an actor gets to see of the first organization and of what
// belongs to none.
func (f fixture) sees(actor berth.Actor) []string {
	f.Helper()
	return f.seesOf(actor, org(1))
}

func (f fixture) seesOf(actor berth.Actor, organizationID string) (seen []string) {
	f.Helper()
	note := func(what string, saw bool, err error, hidden berth.Code) {
		f.Helper()
		switch {
		case saw && err == nil:
			seen = append(seen, what)
		case err != nil && !berth.Is(err, hidden):
			f.Errorf("%s: got %v, want it to look absent", what, err)
		}
	}
	f.view(actor, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.Tenant(ctx, organizationID)
		note("tenant", true, err, berth.CodeContainerNotFound)
		_, err = tx.Tenant(ctx, "tenant-1")
		note("slug", true, err, berth.CodeContainerNotFound)
		_, err = tx.Tombstone(ctx, organizationID)
		note("tombstone", true, err, berth.CodeContainerNotFound)
		list, _, err := tx.ListTenants(ctx, store.TenantFilter{})
		own := 0
		for _, n := range list {
			if n.OrganizationID == organizationID {
				own++
			} else if actor.OrganizationID != "" && n.OrganizationID != actor.OrganizationID {
				f.Errorf("%s lists %s", actor.ID, n.OrganizationID)
			}
		}
		note("list", own > 0, err, "")
		_, err = tx.Deployment(ctx, furnishedDeployment)
		note("deployment", true, err, berth.CodeDeploymentNotFound)
		_, ok, err := tx.OpenDeployment(ctx, organizationID)
		note("open", ok, err, "")
		history, _, err := tx.ListDeployments(ctx, organizationID, store.Page{})
		note("history", len(history) > 0, err, "")
		opens, err := tx.OpenDeployments(ctx)
		note("opens", len(opens) > 0, err, "")
		_, err = tx.Secrets(ctx, organizationID, []string{furnishedSecret})
		note("secrets", true, err, berth.CodeNotFound)
		volumes, _, err := tx.ListVolumes(ctx, organizationID, store.Page{})
		note("volumes", len(volumes) > 0, err, "")
		volumes, _, err = tx.ListVolumes(ctx, "", store.Page{})
		note("all volumes", len(volumes) > 0, err, "")
		events, _, err := tx.ListEvents(ctx, organizationID, store.Page{})
		note("events", len(events) > 0, err, "")
		events, _, err = tx.ListEvents(ctx, "", store.Page{})
		note("all events", len(events) > 0, err, "")
		note("engine events", len(events) > 1, err, "")
		probes, _, err := tx.ListProbes(ctx, organizationID, store.Page{})
		note("probes", len(probes) > 0, err, "")
		credentials, _, err := tx.ListCredentials(ctx, store.Page{})
		_, one, err2 := tx.Credential(ctx, "r")
		note("credentials", len(credentials) > 0 || one || err2 != nil, err, "")
		tokens, _, err := tx.ListTokens(ctx, "", store.Page{})
		note("tokens", len(tokens) > 0, err, "")
		_, ok, err = tx.TokenByHash(ctx, []byte{7})
		note("token", ok, err, "")
		return nil
	})
	return seen
}

// writes are the ways to change something of an organization.
func (f fixture) writes(organizationID string) map[string]func(context.Context, store.Tx) error {
	f.Helper()
	current := f.get(organizationID)
	return map[string]func(context.Context, store.Tx) error{
		"insert tenant": func(ctx context.Context, tx store.Tx) error {
			n := tenant(1)
			n.OrganizationID = organizationID
			err := tx.InsertTenant(ctx, n)
			if berth.Is(err, berth.CodeTenantExists) { // allowed, but for that
				return nil
			}
			return err
		},
		"update tenant": func(ctx context.Context, tx store.Tx) error { n := current; return tx.UpdateTenant(ctx, &n) },
		"insert deployment": func(ctx context.Context, tx store.Tx) error {
			return tx.InsertDeployment(ctx, over(deployment(current), berth.DeploymentCompleted))
		},
		"update deployment": func(ctx context.Context, tx store.Tx) error {
			d := deployment(current)
			d.ID = furnishedDeployment
			return tx.UpdateDeployment(ctx, d)
		},
		"insert secret": func(ctx context.Context, tx store.Tx) error {
			return tx.InsertSecret(ctx, store.SecretVersion{ID: berth.NewID(), OrganizationID: organizationID, Name: "K", Ciphertext: []byte{1}, CreatedAt: noon})
		},
		"put volume": func(ctx context.Context, tx store.Tx) error {
			return tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: organizationID, Name: "v1", Mount: "/data", CreatedAt: noon})
		},
		"insert event": func(ctx context.Context, tx store.Tx) error {
			return tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), OrganizationID: organizationID, At: noon, Kind: "drift"})
		},
		"insert probe": func(ctx context.Context, tx store.Tx) error {
			return tx.InsertProbe(ctx, berth.Probe{OrganizationID: organizationID, CheckedAt: noon, Status: berth.ProbeHealthy})
		},
	}
}

// installationWrites are the ways to change what belongs to no organization.
func installationWrites() map[string]func(context.Context, store.Tx) error {
	return map[string]func(context.Context, store.Tx) error{
		"put credential": func(ctx context.Context, tx store.Tx) error {
			return tx.PutCredential(ctx, store.StoredCredential{Registry: "r", Ciphertext: []byte{1}, UpdatedAt: noon})
		},
		"delete credential": func(ctx context.Context, tx store.Tx) error { return tx.DeleteCredential(ctx, "r") },
		"insert token": func(ctx context.Context, tx store.Tx) error {
			return tx.InsertToken(ctx, berth.Token{ID: berth.NewID(), Hash: []byte{8}, Role: berth.RoleOperator, CreatedAt: noon})
		},
		"insert blueprint": func(ctx context.Context, tx store.Tx) error {
			return tx.InsertBlueprint(ctx, berth.BlueprintVersion{Name: "shop", Version: 2, Hash: "sha256:2", CreatedAt: noon})
		},
		"forget events": func(ctx context.Context, tx store.Tx) error {
			_, err := tx.ForgetEvents(ctx, noon, 1)
			return err
		},
		"insert engine event": func(ctx context.Context, tx store.Tx) error {
			return tx.InsertEvent(ctx, berth.Event{ID: berth.NewID(), At: noon, Kind: "engine"})
		},
	}
}
