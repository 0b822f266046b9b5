package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// errUndo ends a transaction whose writes are not to stay.
var errUndo = errors.New("undo")

// cast is everyone who may ask, by a name that the tables of accesses use.
// Organization 1 is the one that is asked of.
func cast() map[string]berth.Actor {
	as := func(role berth.Role, organizationID string) berth.Actor {
		return berth.Actor{ID: string(role) + " of " + organizationID, Name: "x", Role: role, OrganizationID: organizationID}
	}
	return map[string]berth.Actor{
		"system": berth.System(), "operator": operator, "deployer": as(berth.RoleDeployer, ""),
		"operator1": as(berth.RoleOperator, org(1)), "admin1": as(berth.RoleAdmin, org(1)),
		"member1": as(berth.RoleMember, org(1)), "deployer1": as(berth.RoleDeployer, org(1)),
		"operator2": as(berth.RoleOperator, org(2)), "admin2": as(berth.RoleAdmin, org(2)),
		"member2": as(berth.RoleMember, org(2)), "deployer2": as(berth.RoleDeployer, org(2)),
		"nobody": {}, "no role": {ID: "token-1", OrganizationID: org(1)}, "no role, system's name": {ID: "system", Name: "berth"},
		"unknown role": as("viewer", org(1)), "unknown role of all": as("viewer", ""),
		"admin of none": as(berth.RoleAdmin, ""), "member of none": as(berth.RoleMember, ""),
	}
}

// Who may do what, by the names in cast.
const (
	itself     = "system"
	theHouse   = itself + " operator"
	whoManages = theHouse + " operator1 admin1"
	whoWrites  = whoManages + " deployer deployer1"
	whoSees    = whoWrites + " member1"
	whoMeets   = whoManages + " member1" // people
	whoOrders  = whoWrites + " operator2 admin2 deployer2"
	anybody    = whoOrders + " member1 member2"
)

var actorTests = []test{
	{"every actor reads what it may see, and the rest looks as if it were not there", func(f fixture) {
		f.seed()
		for name, actor := range cast() {
			for _, r := range reads {
				f.view(actor, func(ctx context.Context, tx store.Tx) error {
					saw, err := r.see(ctx, tx)
					want := slices.Contains(strings.Fields(r.who), name)
					switch {
					case saw != want:
						f.Errorf("%s, %s: seen %v, want %v (%v)", name, r.what, saw, want, err)
					case want && err != nil:
						f.Errorf("%s, %s: %v", name, r.what, err)
					case err != nil && (r.hidden == "" || !berth.Is(err, r.hidden)):
						f.Errorf("%s, %s: got %v, want it to look absent (%q)", name, r.what, err, r.hidden)
					}
					return nil
				})
			}
		}
	}},
	{"every actor writes what it may, and is refused the rest", func(f fixture) {
		f.seed()
		for name, actor := range cast() {
			for _, w := range writes {
				want := berth.Code("")
				if !slices.Contains(strings.Fields(w.who), name) {
					want = berth.CodeForbidden
					if w.hidden != "" {
						want = w.hidden
					}
				}
				err := f.try(actor, func(ctx context.Context, tx store.Tx) error {
					if err := w.do(ctx, tx); err != nil {
						return err
					}
					return errUndo
				})
				if errors.Is(err, errUndo) {
					err = nil
				}
				if berth.CodeOf(err) != want {
					f.Errorf("%s, %s: got %v, want code %q", name, w.what, err, want)
				}
			}
		}
	}},
	{"a view writes nothing, whoever asks", func(f fixture) {
		f.seed()
		for _, w := range writes {
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				if w.do(ctx, tx) == nil {
					f.Errorf("%s: done in a view", w.what)
				}
				return nil
			})
		}
	}},
	{"a list shows who is bound to an organization only what is its own", func(f fixture) {
		f.seed()
		for name, actor := range cast() {
			if actor.OrganizationID == "" && name != "nobody" {
				continue
			}
			f.view(actor, func(ctx context.Context, tx store.Tx) error {
				tenants, _, err := tx.ListTenants(ctx, store.TenantFilter{})
				if err != nil {
					return err
				}
				for _, n := range tenants {
					if n.OrganizationID != actor.OrganizationID {
						f.Errorf("%s lists the tenant of %s", name, n.OrganizationID)
					}
				}
				organizations, _, err := tx.ListOrganizations(ctx, store.Page{})
				for _, o := range organizations {
					if o.ID != actor.OrganizationID {
						f.Errorf("%s lists %s", name, o.ID)
					}
				}
				return err
			})
		}
	}},
	{"requests are kept per actor, and who is bound to an organization forgets its own only", func(f fixture) {
		put := func(ctx context.Context, tx store.Tx) error {
			return tx.PutRequest(ctx, store.Request{Key: "k", Fingerprint: []byte{1}, CreatedAt: noon})
		}
		deployer := berth.Actor{ID: "deployer", Role: berth.RoleDeployer}
		for _, actor := range []berth.Actor{operator, of(org(1)), deployer} {
			if err := f.try(actor, put); err != nil {
				f.Fatal(err)
			}
		}
		forget := func(actor berth.Actor) {
			f.Helper()
			if err := f.try(actor, func(ctx context.Context, tx store.Tx) error {
				_, err := tx.ForgetRequests(ctx, noon.Add(time.Hour), 10)
				return err
			}); err != nil {
				f.Fatal(err)
			}
		}
		check := func(actor berth.Actor, want bool) {
			f.Helper()
			f.view(actor, func(ctx context.Context, tx store.Tx) error {
				if _, ok, err := tx.Request(ctx, "k"); ok != want || err != nil {
					f.Errorf("%s: request there %v (%v), want %v", actor.ID, ok, err, want)
				}
				return nil
			})
		}
		forget(of(org(1)))
		check(of(org(1)), false)
		check(deployer, true)
		forget(deployer)
		check(deployer, false)
		check(operator, true)
	}},
	{"a name of a volume can't be taken from another organization", func(f fixture) {
		f.seed()
		f.code(f.try(of(org(2)), func(ctx context.Context, tx store.Tx) error {
			return tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: org(2), Name: "v1", Mount: "/", CreatedAt: noon})
		}), berth.CodeForbidden)
	}},
	{"an id that is no id is one that is not there", func(f fixture) {
		f.seed()
		for what, c := range map[string]struct {
			read func(ctx context.Context, tx store.Tx) error
			want berth.Code
		}{
			"tenant":       {func(ctx context.Context, tx store.Tx) error { _, err := tx.Tenant(ctx, "x'"); return err }, berth.CodeContainerNotFound},
			"deployment":   {func(ctx context.Context, tx store.Tx) error { _, err := tx.Deployment(ctx, "x'"); return err }, berth.CodeDeploymentNotFound},
			"token":        {func(ctx context.Context, tx store.Tx) error { _, err := tx.Token(ctx, "x'"); return err }, berth.CodeNotFound},
			"user":         {func(ctx context.Context, tx store.Tx) error { _, err := tx.User(ctx, "x'"); return err }, berth.CodeUserNotFound},
			"organization": {func(ctx context.Context, tx store.Tx) error { _, err := tx.Organization(ctx, "x'"); return err }, berth.CodeOrganizationNotFound},
			"channel":      {func(ctx context.Context, tx store.Tx) error { _, err := tx.Channel(ctx, "x'"); return err }, berth.CodeNotFound},
		} {
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				if err := c.read(ctx, tx); !berth.Is(err, c.want) {
					f.Errorf("%s: got %v, want %q", what, err, c.want)
				}
				return nil
			})
		}
	}},
}

// Ids of what seed stores for the first organization.
var (
	seededSecret     = id(1)
	seededDeployment = id(2)
	seededToken      = id(3)
	seededChannel    = id(4)
	seededUser       = id(5)
	houseToken       = id(13) // of no organization, as all that follow
	houseChannel     = id(14)
	houseUser        = id(15)
)

// seed fills the store with one of everything for the first organization,
// a tenant of the second, and what belongs to no organization.
func (f fixture) seed() {
	f.Helper()
	f.insert(tenant(1))
	f.bury(org(1))
	n := tenant(1)
	f.insert(n, tenant(2))
	d := deployment(n)
	d.ID = seededDeployment
	f.order(d)
	f.users(5, 15)
	f.members(membership(5, 1, berth.RoleMember))
	f.audit(entry(30, org(1)), entry(31, ""))
	f.record(berth.Probe{OrganizationID: org(1), CheckedAt: noon, Status: berth.ProbeHealthy})
	f.putUsage(usage(1, 0))
	f.putHealth(berth.HealthPeriod{TenantID: n.ID, OrganizationID: org(1), Resolution: berth.ByHour, Start: hour, Healthy: 1})
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, err := range []error{
			tx.InsertSecret(ctx, store.SecretVersion{ID: seededSecret, OrganizationID: org(1), Name: "K", Ciphertext: []byte{1}, CreatedAt: noon}),
			tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: org(1), Name: "v1", Mount: "/data", CreatedAt: noon}),
			tx.InsertEvent(ctx, berth.Event{ID: id(20), OrganizationID: org(1), At: noon, Kind: "drift", Message: "m"}),
			tx.InsertEvent(ctx, berth.Event{ID: id(21), At: noon, Kind: "engine", Message: "secret of the house"}),
			tx.PutCredential(ctx, store.StoredCredential{Registry: "r", Username: "u", Ciphertext: []byte{1}, UpdatedAt: noon}),
			tx.InsertBlueprint(ctx, berth.BlueprintVersion{Name: "shop", Version: 1, Hash: "sha256:1", Source: []byte("x"), CreatedAt: noon}),
			tx.InsertToken(ctx, token(3, org(1), berth.RoleAdmin)),
			tx.InsertToken(ctx, token(13, "", berth.RoleOperator)),
			tx.InsertChannel(ctx, channel(seededChannel, org(1))),
			tx.InsertChannel(ctx, channel(houseChannel, "")),
			tx.InsertDelivery(ctx, delivery(24, seededChannel)),
			tx.InsertDelivery(ctx, delivery(25, houseChannel)),
			tx.InsertInvitation(ctx, invitation(6, org(1), berth.RoleMember)),
			tx.InsertInvitation(ctx, invitation(16, "", berth.RoleOperator)),
			tx.InsertSession(ctx, session(17, 15)),
			tx.PutIdentity(ctx, berth.Identity{Issuer: "i", Subject: "s", UserID: seededUser}),
			tx.PutImage(ctx, berth.PulledImage{EngineID: "e", Pin: "p", Reference: "r", PulledAt: noon}),
			tx.PutMarks(ctx, []berth.Mark{{OrganizationID: org(1), End: noon}}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// delivery is the n-th, pending.
func delivery(n int, channelID string) berth.Delivery {
	return berth.Delivery{ID: id(n), ChannelID: channelID, EventID: id(1000 + n), Kind: "oom", Body: []byte("{}"), CreatedAt: noon, NextAt: noon, State: berth.DeliveryPending}
}
