package move_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

var whole = store.Page{Limit: store.Unbounded}

// reader collects what a transaction answers.
type reader struct {
	testing.TB
	ctx  context.Context
	tx   store.Tx
	read map[string]any
}

// keep notes an answer and its error's code under a name.
func keep[T any](r reader, name string, v T, err error) {
	r.read[name] = v
	if err != nil {
		r.read[name+" fails"] = berth.CodeOf(err)
	}
}

// list notes a page, without its cursor.
func list[T any](r reader, name string) func(page []T, next string, err error) {
	return func(page []T, next string, err error) { keep(r, name, page, err) }
}

// found notes what may be missing.
func found[T any](r reader, name string) func(v T, ok bool, err error) {
	return func(v T, ok bool, err error) {
		keep(r, name, v, err)
		r.read[name+" is there"] = ok
	}
}

// everything is the whole read side of a store.
func everything(t testing.TB, s store.Store, actor berth.Actor) map[string]any {
	t.Helper()
	read := map[string]any{}
	if err := s.View(t.Context(), actor, func(tx store.Tx) error {
		r := reader{t, t.Context(), tx, read}
		r.installation()
		r.people()
		r.records()
		r.told()
		for n := 1; n <= 9; n++ {
			r.organization(orgID(n))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return read
}

func (r reader) installation() {
	ctx, tx := r.ctx, r.tx
	name, err := tx.Installation(ctx)
	keep(r, "installation", name, err)
	mark, err := tx.KeyMark(ctx)
	keep(r, "key mark", mark, err)
	list[store.Sealed](r, "sealed")(tx.ListSealed(ctx, whole))
	list[store.StoredCredential](r, "credentials")(tx.ListCredentials(ctx, whole))
	found[store.StoredCredential](r, "credential")(tx.Credential(ctx, "r.example:5000"))
	list[berth.BlueprintVersion](r, "blueprints")(tx.ListBlueprints(ctx, whole))
	for version := range 4 {
		v, err := tx.Blueprint(ctx, "shop", version)
		keep(r, "blueprint "+v.ID(), v, err)
	}
	images, err := tx.ListImages(ctx, "engine-1")
	keep(r, "images", images, err)
	for _, f := range []store.AuditFilter{
		{Everything: true, Ascending: true}, {OrganizationID: orgID(1)}, {Everything: true, ActorID: "token-1", Action: "tenant.", Outcome: berth.AuditDone, From: noon},
	} {
		f.Page = whole
		list[berth.AuditEntry](r, "audit of "+f.OrganizationID+f.Action)(tx.ListAudit(ctx, f))
	}
}

func (r reader) people() {
	ctx, tx := r.ctx, r.tx
	list[berth.Organization](r, "organizations")(tx.ListOrganizations(ctx, whole))
	list[berth.User](r, "users")(tx.ListUsers(ctx, whole))
	found[berth.User](r, "user by address")(tx.UserByEmail(ctx, "ÄDÄ@example.com"))
	found[berth.User](r, "user by identity")(tx.UserByIdentity(ctx, "https://id.example", odd))
	for _, n := range []int{10, 11} {
		memberships, err := tx.MembershipsOf(ctx, id(n))
		keep(r, "memberships of "+id(n), memberships, err)
		sessions, err := tx.SessionsOf(ctx, id(n), noon)
		keep(r, "sessions of "+id(n), sessions, err)
	}
	for _, n := range []int{1, 2, 12, 13, 14, 15} {
		found[berth.Session](r, "session "+id(n))(tx.SessionByHash(ctx, digest(n)))
		found[berth.Invitation](r, "invitation "+id(n))(tx.InvitationByHash(ctx, digest(n)))
		found[berth.Token](r, "token "+id(n))(tx.TokenByHash(ctx, digest(n)))
	}
	list[berth.Invitation](r, "invitations to the installation")(tx.ListInvitations(ctx, "", whole))
	list[berth.Token](r, "tokens")(tx.ListTokens(ctx, "", whole))
	token, err := tx.Token(ctx, "token-1")
	keep(r, "token", token, err)
}

func (r reader) records() {
	ctx, tx := r.ctx, r.tx
	list[berth.Tenant](r, "tenants")(tx.ListTenants(ctx, store.TenantFilter{Page: whole}))
	list[berth.Tenant](r, "tenants by text")(tx.ListTenants(ctx, store.TenantFilter{Text: "TENANT 3 O'NEIL", Status: berth.StatusRunning, Health: berth.HealthHealthy, Page: whole}))
	ports, err := tx.TakenPorts(ctx)
	keep(r, "ports", ports, err)
	subnets, err := tx.TakenSubnets(ctx)
	keep(r, "subnets", subnets, err)
	open, err := tx.OpenDeployments(ctx, berth.Maybe[string]{})
	keep(r, "open deployments", open, err)
	for _, n := range []int{1, 2, 3} {
		for i := range 4 {
			d, err := tx.Deployment(ctx, id(1000*i+3000+n))
			keep(r, "deployment "+d.ID, d, err)
		}
	}
	list[berth.VolumeRecord](r, "volumes")(tx.ListVolumes(ctx, "", whole))
	for _, key := range []string{odd, "open", "none"} {
		found[store.Request](r, "request "+key)(tx.Request(ctx, key))
	}
	using, err := tx.OrganizationsToSum(ctx, berth.ByMinute, berth.ByHour, noon.Add(time.Hour))
	keep(r, "organizations whose usage is to be summed up", using, err)
	marks, err := tx.Marks(ctx)
	keep(r, "marks", marks, err)
	for _, of := range []berth.Resolution{"", berth.ByHour, berth.ByDay} {
		oldest, newest, err := tx.HealthSpan(ctx, of, noon.Add(time.Hour))
		keep(r, "span of "+string(of), []time.Time{oldest, newest}, err)
	}
	sums, err := tx.SumHealth(ctx, berth.ByHour, noon.Add(-time.Hour), noon.Add(time.Hour))
	keep(r, "sums of health", sums, err)
}

func (r reader) told() {
	ctx, tx := r.ctx, r.tx
	list[berth.Event](r, "events")(tx.ListEvents(ctx, "", whole))
	list[store.StoredChannel](r, "channels")(tx.ListChannels(ctx, whole))
	for _, n := range []int{30, 31} {
		list[berth.Delivery](r, "deliveries of "+id(n))(tx.ListDeliveries(ctx, id(n), whole))
		before, err := tx.NotBefore(ctx, id(n))
		keep(r, "not before "+id(n), before, err)
	}
	due, err := tx.DueDeliveries(ctx, noon.Add(time.Hour))
	keep(r, "due", due, err)
	seq, err := tx.OutboxSeq(ctx)
	keep(r, "outbox", seq, err)
	after, err := tx.EventsAfter(ctx, 0, store.Unbounded)
	keep(r, "events after", after, err)
}

func (r reader) organization(org string) {
	ctx, tx := r.ctx, r.tx
	o, err := tx.Organization(ctx, org)
	keep(r, "organization "+org, o, err)
	t, err := tx.Tenant(ctx, org)
	keep(r, "tenant of "+org, t, err)
	t, err = tx.Tombstone(ctx, org)
	keep(r, "tombstone of "+org, t, err)
	found[berth.Deployment](r, "open deployment of "+org)(tx.OpenDeployment(ctx, org))
	list[berth.Deployment](r, "deployments of "+org)(tx.ListDeployments(ctx, org, whole))
	list[berth.Membership](r, "members of "+org)(tx.ListMembers(ctx, org, whole))
	list[berth.Invitation](r, "invitations to "+org)(tx.ListInvitations(ctx, org, whole))
	list[berth.Token](r, "tokens of "+org)(tx.ListTokens(ctx, org, whole))
	list[berth.Event](r, "events of "+org)(tx.ListEvents(ctx, org, whole))
	list[berth.Probe](r, "probes of "+org)(tx.ListProbes(ctx, org, whole))
	list[berth.VolumeRecord](r, "volumes of "+org)(tx.ListVolumes(ctx, org, whole))
	secrets, err := tx.Secrets(ctx, org, []string{id(1)})
	keep(r, "secrets of "+org, secrets, err)
	for _, of := range []berth.Resolution{berth.ByMinute, berth.ByHour, berth.ByDay} {
		usage, err := tx.ListUsage(ctx, store.UsageQuery{OrganizationID: org, Resolution: of, From: noon.Add(-time.Hour), To: noon.Add(time.Hour), Limit: 100})
		keep(r, "usage of "+org+string(of), usage, err)
		periods, err := tx.ListHealth(ctx, org, of, noon.Add(-time.Hour), noon.Add(time.Hour))
		keep(r, "health of "+org+string(of), periods, err)
	}
}

// same compares what two stores answer. What PostgreSQL can't keep is mended
// there, and percent are kept to the hundredth.
func same(t testing.TB, got, want map[string]any) {
	t.Helper()
	if len(want) < 100 {
		t.Fatalf("only %d answers", len(want))
	}
	mend := func(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD") }
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateApprox(0, 0.0051),
		cmp.Comparer(func(a, b string) bool { return mend(a) == mend(b) })); diff != "" {
		t.Errorf("before (-), after (+):\n%s", diff)
	}
}
