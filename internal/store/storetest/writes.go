package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// change is one way to change something of the first organization, or of what
// belongs to none. Rows are added here, and the test tries each as every actor.
type change struct {
	what   string
	who    string // may
	do     func(ctx context.Context, tx store.Tx) error
	hidden berth.Code // of the refusal where what is changed looks absent; else CodeForbidden
}

var writes = append(append([]change{}, tenantWrites...), houseWrites...)

var tenantWrites = []change{
	{"insert tenant", whoWrites, func(ctx context.Context, tx store.Tx) error {
		n := tenant(7)
		n.OrganizationID = org(1)
		err := tx.InsertTenant(ctx, n)
		if berth.Is(err, berth.CodeTenantExists) { // allowed, but for that
			return nil
		}
		return err
	}, ""},
	{"update tenant", whoWrites, func(ctx context.Context, tx store.Tx) error {
		n := tenant(1)
		err := tx.UpdateTenant(ctx, &n)
		if berth.Is(err, berth.CodeContainerNotFound) { // allowed, but it is not this one
			return nil
		}
		return err
	}, ""},
	{"insert deployment", whoWrites, func(ctx context.Context, tx store.Tx) error {
		err := tx.InsertDeployment(ctx, over(deployment(tenant(1)), berth.DeploymentCompleted))
		if berth.Is(err, berth.CodeContainerNotFound) { // allowed, but for that
			return nil
		}
		return err
	}, ""},
	{"update deployment", whoWrites, func(ctx context.Context, tx store.Tx) error {
		d := deployment(tenant(1))
		d.ID = seededDeployment
		return tx.UpdateDeployment(ctx, d)
	}, ""},
	{"put volume", whoWrites, func(ctx context.Context, tx store.Tx) error {
		return tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: org(1), Name: "v1", Mount: "/data", CreatedAt: noon})
	}, ""},
	{"insert event", whoWrites, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertEvent(ctx, berth.Event{ID: id(90), OrganizationID: org(1), At: noon, Kind: "drift"})
	}, ""},
	{"insert probe", whoWrites, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertProbe(ctx, berth.Probe{OrganizationID: org(1), CheckedAt: noon, Status: berth.ProbeHealthy})
	}, ""},
	{"record probes", whoWrites, func(ctx context.Context, tx store.Tx) error {
		return tx.RecordProbes(ctx, []berth.Probe{{OrganizationID: org(1), CheckedAt: noon, Status: berth.ProbeHealthy}})
	}, ""},
	{"put usage", whoWrites, func(ctx context.Context, tx store.Tx) error { return tx.PutUsage(ctx, []berth.Usage{usage(1, 1)}) }, ""},
	{"drop usage", whoWrites, func(ctx context.Context, tx store.Tx) error {
		return tx.DropUsage(ctx, org(1), berth.ByMinute, noon, noon.Add(time.Hour))
	}, ""},
	{"put marks", whoWrites, func(ctx context.Context, tx store.Tx) error {
		return tx.PutMarks(ctx, []berth.Mark{{OrganizationID: org(1), End: noon}})
	}, ""},
	{"put request", whoOrders, func(ctx context.Context, tx store.Tx) error {
		return tx.PutRequest(ctx, store.Request{Key: "k", Fingerprint: []byte{1}, CreatedAt: noon})
	}, ""},
	{"drop request", whoOrders, func(ctx context.Context, tx store.Tx) error { return tx.DropRequest(ctx, "k") }, ""},
	{"forget requests", whoOrders, func(ctx context.Context, tx store.Tx) error { _, err := tx.ForgetRequests(ctx, noon, 1); return err }, ""},
	{"append to audit", whoSees, func(ctx context.Context, tx store.Tx) error {
		e := entry(90, org(1))
		return tx.AppendAudit(ctx, &e)
	}, ""},
	{"insert secret", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertSecret(ctx, store.SecretVersion{ID: id(90), OrganizationID: org(1), Name: "K", Ciphertext: []byte{1}, CreatedAt: noon})
	}, ""},
	{"insert token", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertToken(ctx, token(90, org(1), berth.RoleMember))
	}, ""},
	{"update token", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.UpdateToken(ctx, token(3, org(1), berth.RoleAdmin))
	}, berth.CodeNotFound},
	{"insert channel", whoManages, func(ctx context.Context, tx store.Tx) error { return tx.InsertChannel(ctx, channel(id(90), org(1))) }, ""},
	{"update channel", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.UpdateChannel(ctx, channel(seededChannel, org(1)).Channel)
	}, berth.CodeNotFound},
	{"seal channel", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.ResealChannel(ctx, channel(seededChannel, org(1)))
	}, berth.CodeNotFound},
	{"delete channel", whoManages, func(ctx context.Context, tx store.Tx) error { return tx.DeleteChannel(ctx, seededChannel) }, berth.CodeNotFound},
	{"insert delivery", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertDelivery(ctx, delivery(90, seededChannel))
	}, berth.CodeNotFound},
	{"update delivery", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.UpdateDelivery(ctx, delivery(24, seededChannel))
	}, berth.CodeNotFound},
	{"put membership", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.PutMembership(ctx, membership(15, 1, berth.RoleMember))
	}, ""},
	{"delete membership", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.DeleteMembership(ctx, seededUser, org(1))
	}, ""},
	{"insert invitation", whoManages, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertInvitation(ctx, invitation(90, org(1), berth.RoleMember))
	}, ""},
	{"close invitation", whoManages, func(ctx context.Context, tx store.Tx) error {
		i := invitation(6, org(1), berth.RoleMember)
		i.RevokedAt = noon
		return tx.CloseInvitation(ctx, i)
	}, berth.CodeNotFound},
}

var houseWrites = []change{
	{"put organization", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.PutOrganization(ctx, organization(1)) }, ""},
	{"put user", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.PutUser(ctx, user(5)) }, ""},
	{"put identity", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.PutIdentity(ctx, berth.Identity{Issuer: "i", Subject: "s", UserID: seededUser})
	}, ""},
	{"insert session", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.InsertSession(ctx, session(90, 5)) }, ""},
	{"update session", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.UpdateSession(ctx, session(17, 15)) }, ""},
	{"forget sessions", theHouse, func(ctx context.Context, tx store.Tx) error { _, err := tx.ForgetSessions(ctx, noon, 1); return err }, ""},
	{"insert invitation to the installation", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertInvitation(ctx, invitation(90, "", berth.RoleOperator))
	}, ""},
	{"close invitation to the installation", theHouse, func(ctx context.Context, tx store.Tx) error {
		i := invitation(16, "", berth.RoleOperator)
		i.AcceptedAt, i.AcceptedBy = noon, seededUser
		return tx.CloseInvitation(ctx, i)
	}, berth.CodeNotFound},
	{"put credential", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.PutCredential(ctx, store.StoredCredential{Registry: "r", Ciphertext: []byte{1}, UpdatedAt: noon})
	}, ""},
	{"delete credential", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.DeleteCredential(ctx, "r") }, ""},
	{"insert token of no organization", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertToken(ctx, token(90, "", berth.RoleOperator))
	}, ""},
	{"update token of no organization", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.UpdateToken(ctx, token(13, org(1), berth.RoleOperator)) // whatever it says
	}, berth.CodeNotFound},
	{"insert channel of no organization", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.InsertChannel(ctx, channel(id(90), "")) }, ""},
	{"update channel of no organization", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.UpdateChannel(ctx, channel(houseChannel, org(1)).Channel) // whatever it says
	}, berth.CodeNotFound},
	{"seal channel of no organization", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.ResealChannel(ctx, channel(houseChannel, org(1))) // whatever it says
	}, berth.CodeNotFound},
	{"delete channel of no organization", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.DeleteChannel(ctx, houseChannel) }, berth.CodeNotFound},
	{"insert delivery to a channel of no organization", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertDelivery(ctx, delivery(90, houseChannel))
	}, berth.CodeNotFound},
	{"forget deliveries", theHouse, func(ctx context.Context, tx store.Tx) error { _, err := tx.ForgetDeliveries(ctx, noon, 1); return err }, ""},
	{"set outbox", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.SetOutboxSeq(ctx, 1) }, ""},
	{"insert blueprint", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertBlueprint(ctx, berth.BlueprintVersion{Name: "shop", Version: 2, Hash: "sha256:2", CreatedAt: noon})
	}, ""},
	{"insert engine event", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertEvent(ctx, berth.Event{ID: id(90), At: noon, Kind: "engine"})
	}, ""},
	{"forget events", theHouse, func(ctx context.Context, tx store.Tx) error { _, err := tx.ForgetEvents(ctx, noon, 1); return err }, ""},
	{"forget usage", theHouse, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.ForgetUsage(ctx, berth.ByMinute, noon, 1)
		return err
	}, ""},
	{"forget marks", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.ForgetMarks(ctx) }, ""},
	{"forget health", theHouse, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.ForgetHealth(ctx, berth.ByHour, noon, 1)
		return err
	}, ""},
	{"drop deployments", itself, func(ctx context.Context, tx store.Tx) error { return tx.DropDeployments(ctx, []string{id(90)}) }, ""},
	{"drop secrets", itself, func(ctx context.Context, tx store.Tx) error { return tx.DropSecrets(ctx, []string{id(90)}) }, ""},
	{"empty tombstone", itself, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.EmptyTombstone(ctx, store.Removed{TenantID: id(90), OrganizationID: org(1)}, noon, 1)
		return err
	}, ""},
	{"drop tombstone", itself, func(ctx context.Context, tx store.Tx) error {
		return tx.DropTombstone(ctx, store.Removed{TenantID: id(90), OrganizationID: org(1)}, noon)
	}, ""},
	{"forget tokens", itself, func(ctx context.Context, tx store.Tx) error { _, err := tx.ForgetTokens(ctx, noon, 1); return err }, ""},
	{"forget invitations", itself, func(ctx context.Context, tx store.Tx) error { _, err := tx.ForgetInvitations(ctx, noon, 1); return err }, ""},
	{"put image", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.PutImage(ctx, berth.PulledImage{EngineID: "e", Pin: "p", Reference: "r", PulledAt: noon})
	}, ""},
	{"insert foreign", theHouse, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.InsertForeign(ctx, store.ForeignObject{EngineID: "e", Kind: "volume", ID: "v", FoundAt: noon})
		return err
	}, ""},
	{"delete image", theHouse, func(ctx context.Context, tx store.Tx) error { return tx.DeleteImage(ctx, "e", "p") }, ""},
	{"append to the audit of the installation", theHouse, func(ctx context.Context, tx store.Tx) error {
		e := entry(90, "")
		return tx.AppendAudit(ctx, &e)
	}, ""},
	{"seal anew", theHouse, func(ctx context.Context, tx store.Tx) error {
		return tx.Reseal(ctx, store.Sealed{Kind: "secret", ID: seededSecret, OrganizationID: org(1), Ciphertext: []byte{1}}, []byte{2})
	}, ""},
}
