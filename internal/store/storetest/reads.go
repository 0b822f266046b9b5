package storetest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// access is one way to read something of the first organization, or of what
// belongs to none. Rows are added here, and the test asks each for every actor.
type access struct {
	what   string
	who    string                                               // gets to see it
	see    func(ctx context.Context, tx store.Tx) (bool, error) // whether it was seen
	hidden berth.Code                                           // with which it looks absent; "" if there is no error
}

type found[T any] func(context.Context, store.Tx) (T, error)

// got sees what comes without an error.
func got[T any](read found[T]) func(context.Context, store.Tx) (bool, error) {
	return func(ctx context.Context, tx store.Tx) (bool, error) {
		_, err := read(ctx, tx)
		return err == nil, err
	}
}

// lists sees one of a list.
func lists[T any](read func(context.Context, store.Tx) ([]T, string, error), one func(T) bool) func(context.Context, store.Tx) (bool, error) {
	return func(ctx context.Context, tx store.Tx) (bool, error) {
		list, _, err := read(ctx, tx)
		return slices.ContainsFunc(list, one), err
	}
}

func whole[T any](list []T, err error) ([]T, string, error) { return list, "", err }

func organizationRows(organizationID string) []access {
	ofOne := func(id string) bool { return id == org(1) }
	return []access{
		{"list volumes of " + organizationID, whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.VolumeRecord, string, error) {
			return tx.ListVolumes(ctx, organizationID, store.Page{})
		}, func(v berth.VolumeRecord) bool { return ofOne(v.OrganizationID) }), ""},
		{"list events of " + organizationID, whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.Event, string, error) {
			return tx.ListEvents(ctx, organizationID, store.Page{})
		}, func(e berth.Event) bool { return ofOne(e.OrganizationID) }), ""},
		{"list tokens of " + organizationID, whoManages, lists(func(ctx context.Context, tx store.Tx) ([]berth.Token, string, error) {
			return tx.ListTokens(ctx, organizationID, store.Page{})
		}, func(k berth.Token) bool { return ofOne(k.OrganizationID) }), ""},
	}
}

var reads = slices.Concat(organizationRows(""), organizationRows(org(1)), tenantReads, peopleReads, houseReads)

var tenantReads = []access{
	{"tenant", whoSees, got(func(ctx context.Context, tx store.Tx) (berth.Tenant, error) { return tx.Tenant(ctx, org(1)) }), berth.CodeContainerNotFound},
	{"slug", whoSees, got(func(ctx context.Context, tx store.Tx) (berth.Tenant, error) { return tx.Tenant(ctx, "tenant-1") }), berth.CodeContainerNotFound},
	{"tombstone", whoSees, got(func(ctx context.Context, tx store.Tx) (berth.Tenant, error) { return tx.Tombstone(ctx, org(1)) }), berth.CodeContainerNotFound},
	{"list tenants", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.Tenant, string, error) {
		return tx.ListTenants(ctx, store.TenantFilter{})
	}, func(n berth.Tenant) bool { return n.OrganizationID == org(1) }), ""},
	{"deployment", whoSees, got(func(ctx context.Context, tx store.Tx) (berth.Deployment, error) {
		return tx.Deployment(ctx, seededDeployment)
	}), berth.CodeDeploymentNotFound},
	{"open deployment", whoSees, func(ctx context.Context, tx store.Tx) (bool, error) {
		_, ok, err := tx.OpenDeployment(ctx, org(1))
		return ok, err
	}, ""},
	{"list deployments", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.Deployment, string, error) {
		return tx.ListDeployments(ctx, org(1), store.Page{})
	}, func(berth.Deployment) bool { return true }), ""},
	{"open deployments", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]string, string, error) {
		open, err := tx.OpenDeployments(ctx, berth.Maybe[string]{})
		return slices.Collect(maps.Keys(open)), "", err
	}, func(o string) bool { return o == org(1) }), ""},
	{"volumes of tenants", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]string, string, error) {
		volumes, err := tx.TenantVolumes(ctx, "engine-1")
		return slices.Collect(maps.Keys(volumes)), "", err
	}, func(o string) bool { return o == org(1) }), ""},
	{"list probes", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.Probe, string, error) {
		return tx.ListProbes(ctx, org(1), store.Page{})
	}, func(berth.Probe) bool { return true }), ""},
	{"health", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.HealthPeriod, string, error) {
		return whole(tx.ListHealth(ctx, org(1), berth.ByHour, hour, hour.Add(time.Hour)))
	}, func(berth.HealthPeriod) bool { return true }), ""},
	{"sum of health", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.HealthPeriod, string, error) {
		return whole(tx.SumHealth(ctx, berth.ByHour, hour, hour.Add(time.Hour)))
	}, func(h berth.HealthPeriod) bool { return h.OrganizationID == org(1) }), ""},
	{"usage", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.Usage, string, error) {
		return whole(tx.ListUsage(ctx, store.UsageQuery{OrganizationID: org(1), Resolution: berth.ByMinute, From: hour, To: hour.Add(time.Hour), Limit: 10}))
	}, func(berth.Usage) bool { return true }), ""},
	{"sums of usage", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.Usage, string, error) {
		return whole(tx.SumUsage(ctx, store.UsageSum{OrganizationID: org(1), From: berth.ByMinute, To: berth.ByHour, Begin: hour, End: hour.Add(time.Hour)}))
	}, func(berth.Usage) bool { return true }), ""},
	{"organizations whose usage is to be summed up", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]string, string, error) {
		return whole(tx.OrganizationsToSum(ctx, berth.ByMinute, berth.ByHour, hour.Add(time.Hour)))
	}, func(o string) bool { return o == org(1) }), ""},
	{"marks", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.Mark, string, error) {
		return whole(tx.Marks(ctx))
	}, func(m berth.Mark) bool { return m.OrganizationID == org(1) }), ""},
	{"secrets", whoManages, got(func(ctx context.Context, tx store.Tx) ([]store.SecretVersion, error) {
		return tx.Secrets(ctx, org(1), []string{seededSecret})
	}), berth.CodeNotFound},
	{"ports", anybody, lists(func(ctx context.Context, tx store.Tx) ([]int, string, error) {
		return whole(tx.TakenPorts(ctx))
	}, func(port int) bool { return port == 3001 }), ""},
	{"subnets", anybody, func(ctx context.Context, tx store.Tx) (bool, error) {
		list, err := tx.TakenSubnets(ctx)
		return len(list) == 2, err
	}, ""},
}

var peopleReads = []access{
	{"organization", whoSees, got(func(ctx context.Context, tx store.Tx) (berth.Organization, error) {
		return tx.Organization(ctx, org(1))
	}), berth.CodeOrganizationNotFound},
	{"list organizations", whoSees, lists(func(ctx context.Context, tx store.Tx) ([]berth.Organization, string, error) {
		return tx.ListOrganizations(ctx, store.Page{})
	}, func(o berth.Organization) bool { return o.ID == org(1) }), ""},
	{"user", whoMeets, got(func(ctx context.Context, tx store.Tx) (berth.User, error) { return tx.User(ctx, seededUser) }), berth.CodeUserNotFound},
	{"user by address", whoMeets, func(ctx context.Context, tx store.Tx) (bool, error) {
		_, ok, err := tx.UserByEmail(ctx, user(5).Email)
		return ok, err
	}, ""},
	{"list users", whoMeets, lists(func(ctx context.Context, tx store.Tx) ([]berth.User, string, error) {
		return tx.ListUsers(ctx, store.Page{})
	}, func(u berth.User) bool { return u.ID == seededUser }), ""},
	{"memberships", whoMeets, lists(func(ctx context.Context, tx store.Tx) ([]berth.Membership, string, error) {
		return whole(tx.MembershipsOf(ctx, seededUser))
	}, func(berth.Membership) bool { return true }), ""},
	{"list members", whoMeets, lists(func(ctx context.Context, tx store.Tx) ([]berth.Membership, string, error) {
		return tx.ListMembers(ctx, org(1), store.Page{})
	}, func(berth.Membership) bool { return true }), ""},
	{"list invitations", whoManages, lists(func(ctx context.Context, tx store.Tx) ([]berth.Invitation, string, error) {
		return tx.ListInvitations(ctx, org(1), store.Page{})
	}, func(berth.Invitation) bool { return true }), ""},
	{"token", whoManages, got(func(ctx context.Context, tx store.Tx) (berth.Token, error) { return tx.Token(ctx, seededToken) }), berth.CodeNotFound},
	{"channel", whoManages, got(func(ctx context.Context, tx store.Tx) (store.StoredChannel, error) {
		return tx.Channel(ctx, seededChannel)
	}), berth.CodeNotFound},
	{"list channels", whoManages, lists(func(ctx context.Context, tx store.Tx) ([]store.StoredChannel, string, error) {
		return tx.ListChannels(ctx, store.Page{})
	}, func(c store.StoredChannel) bool { return c.ID == seededChannel }), ""},
	{"list deliveries", whoManages, lists(func(ctx context.Context, tx store.Tx) ([]berth.Delivery, string, error) {
		return tx.ListDeliveries(ctx, seededChannel, store.Page{})
	}, func(berth.Delivery) bool { return true }), berth.CodeNotFound},
	{"begin of a channel", whoManages, got(func(ctx context.Context, tx store.Tx) (int64, error) { return tx.NotBefore(ctx, seededChannel) }), berth.CodeNotFound},
	{"audit", whoManages, lists(func(ctx context.Context, tx store.Tx) ([]berth.AuditEntry, string, error) {
		return tx.ListAudit(ctx, store.AuditFilter{OrganizationID: org(1)})
	}, func(berth.AuditEntry) bool { return true }), ""},
}

var houseReads = []access{
	{"installation", anybody, got(func(ctx context.Context, tx store.Tx) (string, error) { return tx.Installation(ctx) }), berth.CodeNotFound},
	{"blueprint", anybody, got(func(ctx context.Context, tx store.Tx) (berth.BlueprintVersion, error) {
		return tx.Blueprint(ctx, "shop", 0)
	}), berth.CodeBlueprintNotFound},
	{"list blueprints", anybody, lists(func(ctx context.Context, tx store.Tx) ([]berth.BlueprintVersion, string, error) {
		return tx.ListBlueprints(ctx, store.Page{})
	}, func(berth.BlueprintVersion) bool { return true }), ""},
	{"engine events", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.Event, string, error) {
		return tx.ListEvents(ctx, "", store.Page{})
	}, func(e berth.Event) bool { return e.OrganizationID == "" }), ""},
	{"outbox", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]store.NumberedEvent, string, error) {
		return whole(tx.EventsAfter(ctx, 0, 0))
	}, func(store.NumberedEvent) bool { return true }), ""},
	{"place of the outbox", theHouse, got(func(ctx context.Context, tx store.Tx) (int64, error) { return tx.OutboxSeq(ctx) }), berth.CodeForbidden},
	{"due deliveries", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.Delivery, string, error) {
		return whole(tx.DueDeliveries(ctx, noon))
	}, func(berth.Delivery) bool { return true }), ""},
	{"span of health", theHouse, func(ctx context.Context, tx store.Tx) (bool, error) {
		oldest, _, err := tx.HealthSpan(ctx, berth.ByHour, noon.Add(time.Hour))
		return !oldest.IsZero(), err
	}, ""},
	{"images", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.PulledImage, string, error) {
		return whole(tx.ListImages(ctx, "e"))
	}, func(berth.PulledImage) bool { return true }), ""},
	{"credential", theHouse, func(ctx context.Context, tx store.Tx) (bool, error) {
		_, ok, err := tx.Credential(ctx, "r")
		return ok, err
	}, ""},
	{"list credentials", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]store.StoredCredential, string, error) {
		return tx.ListCredentials(ctx, store.Page{})
	}, func(store.StoredCredential) bool { return true }), ""},
	{"token of no organization", theHouse, got(func(ctx context.Context, tx store.Tx) (berth.Token, error) { return tx.Token(ctx, houseToken) }), berth.CodeNotFound},
	{"list tokens of no organization", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.Token, string, error) {
		return tx.ListTokens(ctx, "", store.Page{})
	}, func(k berth.Token) bool { return k.OrganizationID == "" }), ""},
	{"token by hash", theHouse, func(ctx context.Context, tx store.Tx) (bool, error) {
		_, ok, err := tx.TokenByHash(ctx, digest(3)) // of the organization
		return ok, err
	}, ""},
	{"channel of no organization", theHouse, got(func(ctx context.Context, tx store.Tx) (store.StoredChannel, error) {
		return tx.Channel(ctx, houseChannel)
	}), berth.CodeNotFound},
	{"list channels of no organization", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]store.StoredChannel, string, error) {
		return tx.ListChannels(ctx, store.Page{})
	}, func(c store.StoredChannel) bool { return c.OrganizationID == "" }), ""},
	{"user of no organization", theHouse, got(func(ctx context.Context, tx store.Tx) (berth.User, error) { return tx.User(ctx, houseUser) }), berth.CodeUserNotFound},
	{"list users of no organization", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.User, string, error) {
		return tx.ListUsers(ctx, store.Page{})
	}, func(u berth.User) bool { return u.ID == houseUser }), ""},
	{"user by identity", theHouse, func(ctx context.Context, tx store.Tx) (bool, error) {
		_, ok, err := tx.UserByIdentity(ctx, "i", "s")
		return ok, err
	}, ""},
	{"session by hash", theHouse, func(ctx context.Context, tx store.Tx) (bool, error) {
		_, ok, err := tx.SessionByHash(ctx, digest(17))
		return ok, err
	}, ""},
	{"sessions", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.Session, string, error) {
		return whole(tx.SessionsOf(ctx, houseUser, noon))
	}, func(berth.Session) bool { return true }), ""},
	{"invitation by hash", theHouse, func(ctx context.Context, tx store.Tx) (bool, error) {
		_, ok, err := tx.InvitationByHash(ctx, digest(6)) // of the organization
		return ok, err
	}, ""},
	{"list invitations of no organization", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.Invitation, string, error) {
		return tx.ListInvitations(ctx, "", store.Page{})
	}, func(berth.Invitation) bool { return true }), ""},
	{"audit of the installation", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.AuditEntry, string, error) {
		return tx.ListAudit(ctx, store.AuditFilter{})
	}, func(berth.AuditEntry) bool { return true }), ""},
	{"whole audit", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]berth.AuditEntry, string, error) {
		return tx.ListAudit(ctx, store.AuditFilter{Everything: true, OrganizationID: org(1)})
	}, func(berth.AuditEntry) bool { return true }), ""},
	{"sealed values", theHouse, lists(func(ctx context.Context, tx store.Tx) ([]store.Sealed, string, error) {
		return tx.ListSealed(ctx, store.Page{})
	}, func(store.Sealed) bool { return true }), ""},
}
