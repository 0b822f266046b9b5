package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// paged is a list that comes in pages.
type paged struct {
	name    string
	prepare func(ctx context.Context, tx store.Tx) error // what its rows need
	insert  func(ctx context.Context, tx store.Tx, n int) error
	keys    func(ctx context.Context, tx store.Tx, p store.Page) (keys []string, next string, err error)
}

// mixed spreads n over the ids, so that new rows come before and after old ones.
func mixed(n int) int { return n*7919%10007 + 1 }

func keysOf[T any](list []T, next string, err error, key func(T) string) ([]string, string, error) {
	keys := []string{}
	for _, row := range list {
		keys = append(keys, key(row))
	}
	return keys, next, err
}

func prepareTenant(ctx context.Context, tx store.Tx) error { return tx.InsertTenant(ctx, tenant(5000)) }

func prepareOrganization(ctx context.Context, tx store.Tx) error {
	return tx.PutOrganization(ctx, organization(5000))
}

func prepareNothing(context.Context, store.Tx) error { return nil }

var pagedLists = slices.Concat(pagedTenantLists, pagedHouseLists, pagedAudits)

var pagedTenantLists = []paged{
	{"tenants", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error { return tx.InsertTenant(ctx, tenant(n)) },
		func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
			list, next, err := tx.ListTenants(ctx, store.TenantFilter{Page: p})
			return keysOf(list, next, err, func(t berth.Tenant) string { return t.OrganizationID })
		}},
	{"deployments", prepareTenant, func(ctx context.Context, tx store.Tx, n int) error {
		t, err := tx.Tenant(ctx, org(5000))
		if err != nil {
			return err
		}
		d := over(deployment(t), berth.DeploymentCompleted)
		d.ID = id(mixed(n))
		return tx.InsertDeployment(ctx, d)
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListDeployments(ctx, org(5000), p)
		return keysOf(list, next, err, func(d berth.Deployment) string { return d.ID })
	}},
	{"probes", prepareTenant, func(ctx context.Context, tx store.Tx, n int) error {
		return tx.InsertProbe(ctx, berth.Probe{OrganizationID: org(5000), CheckedAt: noon.Add(time.Duration(mixed(n)) * time.Second), Status: berth.ProbeHealthy})
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListProbes(ctx, org(5000), p)
		return keysOf(list, next, err, func(p berth.Probe) string { return p.CheckedAt.String() })
	}},
	{"volumes", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error {
		return tx.PutVolume(ctx, berth.VolumeRecord{OrganizationID: org(1), Name: fmt.Sprintf("berth_%05d-data", mixed(n)), Mount: "/data", CreatedAt: noon})
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListVolumes(ctx, "", p)
		return keysOf(list, next, err, func(v berth.VolumeRecord) string { return v.Name })
	}},
	{"events", prepareNothing, insertEvent, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListEvents(ctx, "", p)
		return keysOf(list, next, err, func(e berth.Event) string { return e.ID })
	}},
	{"events of an organization", prepareNothing, insertEvent, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListEvents(ctx, org(1), p)
		return keysOf(list, next, err, func(e berth.Event) string { return e.ID })
	}},
	{"channels", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error {
		return tx.InsertChannel(ctx, channel(id(mixed(n)), ""))
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListChannels(ctx, p)
		return keysOf(list, next, err, func(c store.StoredChannel) string { return c.ID })
	}},
	{"deliveries", func(ctx context.Context, tx store.Tx) error { return tx.InsertChannel(ctx, channel(id(20000), "")) },
		func(ctx context.Context, tx store.Tx, n int) error {
			return tx.InsertDelivery(ctx, delivery(mixed(n), id(20000)))
		}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
			list, next, err := tx.ListDeliveries(ctx, id(20000), p)
			return keysOf(list, next, err, func(d berth.Delivery) string { return d.ID })
		}},
}

func insertEvent(ctx context.Context, tx store.Tx, n int) error {
	return tx.InsertEvent(ctx, berth.Event{ID: id(mixed(n)), OrganizationID: org(1), At: noon, Kind: "drift", Message: "m"})
}

var pagedHouseLists = []paged{
	{"credentials", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error {
		return tx.PutCredential(ctx, store.StoredCredential{Registry: fmt.Sprintf("r%05d.example:5000", mixed(n)), Username: "u", Ciphertext: []byte{1}, UpdatedAt: noon})
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListCredentials(ctx, p)
		return keysOf(list, next, err, func(c store.StoredCredential) string { return c.Registry })
	}},
	{"blueprints", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error {
		return tx.InsertBlueprint(ctx, version(fmt.Sprintf("shop-%d", mixed(n)%4), n+1))
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListBlueprints(ctx, p)
		return keysOf(list, next, err, berth.BlueprintVersion.ID)
	}},
	{"tokens", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error {
		return tx.InsertToken(ctx, token(mixed(n), "", berth.RoleOperator))
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListTokens(ctx, "", p)
		return keysOf(list, next, err, func(k berth.Token) string { return k.ID })
	}},
	{"organizations", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error {
		return tx.PutOrganization(ctx, organization(mixed(n)))
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListOrganizations(ctx, p)
		return keysOf(list, next, err, func(o berth.Organization) string { return o.ID })
	}},
	{"users", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error { return tx.PutUser(ctx, user(mixed(n))) },
		func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
			list, next, err := tx.ListUsers(ctx, p)
			return keysOf(list, next, err, func(u berth.User) string { return u.ID })
		}},
	{"members", prepareOrganization, func(ctx context.Context, tx store.Tx, n int) error {
		if err := tx.PutUser(ctx, user(mixed(n))); err != nil {
			return err
		}
		return tx.PutMembership(ctx, membership(mixed(n), 5000, berth.RoleMember))
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListMembers(ctx, org(5000), p)
		return keysOf(list, next, err, func(m berth.Membership) string { return m.UserID })
	}},
	{"invitations", prepareOrganization, func(ctx context.Context, tx store.Tx, n int) error {
		return tx.InsertInvitation(ctx, invitation(mixed(n), org(5000), berth.RoleMember))
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListInvitations(ctx, org(5000), p)
		return keysOf(list, next, err, func(i berth.Invitation) string { return i.ID })
	}},
	{"sealed", prepareNothing, func(ctx context.Context, tx store.Tx, n int) error {
		switch n % 3 {
		case 0:
			return tx.InsertChannel(ctx, channel(id(mixed(n)), ""))
		case 1:
			return tx.PutCredential(ctx, store.StoredCredential{Registry: fmt.Sprintf("r%05d", mixed(n)), Ciphertext: []byte{1}, UpdatedAt: noon})
		}
		return tx.InsertSecret(ctx, store.SecretVersion{ID: id(mixed(n)), OrganizationID: org(1), Name: "K", Ciphertext: []byte{1}, CreatedAt: noon})
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		list, next, err := tx.ListSealed(ctx, p)
		return keysOf(list, next, err, func(s store.Sealed) string { return s.Kind + s.ID })
	}},
}

func pagedAudit(name string, f store.AuditFilter) paged {
	return paged{name, prepareNothing, func(ctx context.Context, tx store.Tx, n int) error {
		e := entry(mixed(n), org(1+n%2))
		if f.Everything {
			return tx.AppendAudit(ctx, &e)
		}
		e.OrganizationID = f.OrganizationID
		return tx.AppendAudit(ctx, &e)
	}, func(ctx context.Context, tx store.Tx, p store.Page) ([]string, string, error) {
		asked := f // tests run at once
		asked.Page = p
		list, next, err := tx.ListAudit(ctx, asked)
		return keysOf(list, next, err, func(e berth.AuditEntry) string { return e.ID })
	}}
}

var pagedAudits = []paged{
	pagedAudit("audit", store.AuditFilter{OrganizationID: org(1)}),
	pagedAudit("audit, ascending", store.AuditFilter{OrganizationID: org(1), Ascending: true}),
	pagedAudit("whole audit", store.AuditFilter{Everything: true}),
	pagedAudit("whole audit, ascending", store.AuditFilter{Everything: true, Ascending: true}),
}

// pageTests ask the same of every list.
var pageTests = func() []test {
	var tests []test
	for _, l := range pagedLists {
		tests = append(tests,
			test{l.name + " come whole in pages, while others come", func(f fixture) { testWalk(f, l) }},
			test{l.name + " have 100 rows a page by default, 1000 at most, and all for Berth itself", func(f fixture) { testBounds(f, l) }},
			test{l.name + " refuse a cursor or a limit that makes no sense", func(f fixture) { testBadPages(f, l) }},
		)
	}
	return tests
}()

// fill stores the rows [from, to) of a list.
func (f fixture) fill(l paged, from, to int) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error {
		if from == 1 {
			if err := l.prepare(ctx, tx); err != nil {
				return err
			}
		}
		for n := from; n < to; n++ {
			if err := l.insert(ctx, tx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f fixture) keys(l paged, p store.Page) (keys []string, next string) {
	f.Helper()
	f.view(operator, func(ctx context.Context, tx store.Tx) (err error) {
		keys, next, err = l.keys(ctx, tx, p)
		return err
	})
	return keys, next
}

// walk reads a list page by page, and calls between after the first.
func (f fixture) walk(l paged, limit int, between func()) (all []string) {
	f.Helper()
	for cursor := ""; ; {
		keys, next := f.keys(l, store.Page{Cursor: cursor, Limit: limit})
		if len(keys) > limit || next != "" && len(keys) < limit {
			f.Fatalf("a page of %d has %d rows, next %q", limit, len(keys), next)
		}
		all = append(all, keys...)
		if next == "" {
			return all
		}
		if cursor == "" {
			between()
		}
		cursor = next
	}
}

func testWalk(f fixture, l paged) {
	f.fill(l, 1, 12)
	before, next := f.keys(l, store.Page{Limit: store.Unbounded})
	if len(before) != 11 || next != "" {
		f.Fatalf("%d rows of 11, next %q", len(before), next)
	}
	seen := f.walk(l, 3, func() { f.fill(l, 12, 20) })
	var old []string
	for i, key := range seen {
		if slices.Contains(seen[:i], key) {
			f.Errorf("%s came twice", key)
		}
		if slices.Contains(before, key) {
			old = append(old, key)
		}
	}
	f.same(old, before)
	after, _ := f.keys(l, store.Page{Limit: store.Unbounded})
	if len(after) != 19 {
		f.Errorf("%d rows of 19", len(after))
	}
	f.same(f.walk(l, 4, func() {}), after)
	f.same(f.walk(l, 19, func() { f.Error("a last page that is full has a next one") }), after)
}

// testBounds stores more rows than a page can have for one list of each kind:
// by its place in the order of writing, and by a key.
func testBounds(f fixture, l paged) {
	rows := 101
	if l.name == "tenants" || l.name == "volumes" {
		rows = 1001
	}
	f.fill(l, 1, rows+1)
	all, _ := f.keys(l, store.Page{Limit: store.Unbounded})
	if len(all) != rows {
		f.Fatalf("%d rows of %d", len(all), rows)
	}
	for _, limit := range []int{0, 1, 1000, 5000, store.Unbounded} {
		want := min(limit, 1000, rows)
		switch limit {
		case 0:
			want = 100
		case store.Unbounded:
			want = rows
		}
		keys, next := f.keys(l, store.Page{Limit: limit})
		if (next == "") != (want == rows) {
			f.Errorf("limit %d: next %q", limit, next)
		}
		f.same(keys, all[:want])
	}
}

// damaged changes the end of a cursor, which may be anything: it is of a checksum.
func damaged(cursor string) string {
	whole, end := cursor[:len(cursor)-2], "AA"
	if strings.HasSuffix(cursor, end) {
		end = "QQ"
	}
	return whole + end
}

func testBadPages(f fixture, l paged) {
	f.fill(l, 1, 4)
	_, cursor := f.keys(l, store.Page{Limit: 1})
	bad := func(p store.Page) {
		f.Helper()
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			_, _, err := l.keys(ctx, tx, p)
			f.code(err, berth.CodeInvalidRequest)
			return nil
		})
	}
	for _, text := range []string{"x", "!!", "' OR 1=1", "MQ", cursor + "A", cursor + "=", cursor[1:], cursor[:len(cursor)-1], damaged(cursor)} {
		bad(store.Page{Cursor: text})
	}
	bad(store.Page{Limit: -2})
	for _, other := range pagedHouseLists {
		if other.name == l.name || other.name != "tokens" && other.name != "organizations" {
			continue
		}
		f.fill(other, 1, 4)
		_, foreign := f.keys(other, store.Page{Limit: 1})
		bad(store.Page{Cursor: foreign})
	}
}
