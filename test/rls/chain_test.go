package rls

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/postgres"
)

// chainOf returns the audit of an organization as Berth reads it, from the first
// entry on. Each must follow the one before.
func chainOf(t *testing.T, s store.Store, organization string) (list []berth.AuditEntry) {
	t.Helper()
	filter := store.AuditFilter{OrganizationID: organization, Ascending: true}
	for {
		var page []berth.AuditEntry
		err := s.View(t.Context(), berth.System(), func(tx store.Tx) (err error) {
			page, filter.Cursor, err = tx.ListAudit(t.Context(), filter)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			var prev *berth.AuditEntry
			if len(list) > 0 {
				prev = &list[len(list)-1]
			}
			if !e.Follows(prev) {
				t.Fatalf("%+v does not follow %+v", e, prev)
			}
			list = append(list, e)
		}
		if filter.Cursor == "" {
			return list
		}
	}
}

func openStore(t *testing.T, db string) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: server.URL(db)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func appendAudit(t *testing.T, s store.Store, organization string) error {
	return s.InTx(t.Context(), berth.System(), func(tx store.Tx) error {
		return tx.AppendAudit(t.Context(), &berth.AuditEntry{
			ID: berth.NewID(), OrganizationID: organization, At: time.Now(), ActorID: "system",
			ActorRole: berth.RoleSystem, Action: "tenant.deploy", Target: organization, Outcome: berth.AuditDone,
		})
	})
}

func TestWhatAnAdminChangesInTheDatabaseIsInTheAudit(t *testing.T) {
	db := database(t, migrated, "")
	owner := connect(t, "postgres", db)
	owner.run(twoOrganizations + people + `
		INSERT INTO berth.user_settings (user_id, email, email_folded, name) VALUES ('` + ourAdmin + `', 'a', 'a', 'Ada Ünal 🚢')`)
	s := openStore(t, db)
	c := connect(t, "authenticator", db)
	as := func(user, statement string) error {
		c.run(`BEGIN; SET LOCAL ROLE authenticated; SET LOCAL TIME ZONE 'Asia/Kathmandu'; SET LOCAL DateStyle = 'German'; SET LOCAL request.jwt.claims = '{"sub": "` + user + `"}'`)
		err := c.try(statement)
		c.run("COMMIT")
		return err
	}
	for _, step := range []func() error{
		func() error { return as(ourAdmin, `UPDATE public.tenant_containers SET want = 'running'`) },
		func() error { return appendAudit(t, s, ours) },
		func() error {
			return as(ourOwner, `UPDATE public.tenant_containers SET want = 'stopped', tenant_name = 'Say "ö" \'`)
		},
		func() error { return as(ourAdmin, `UPDATE public.tenant_containers SET want = want`) }, // nothing
		func() error { return appendAudit(t, s, ours) },
		func() error { return as(theirAdmin, `UPDATE public.tenant_containers SET tenant_name = 'N'`) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := as(ourAdmin, `UPDATE public.tenant_containers SET want = 'gone'`); code(err) != notAllowed {
		t.Fatal(err)
	}
	const deploy = `system  system tenant.deploy  `
	for organization, want := range map[string][]string{
		ours: {
			ourAdmin + ` Ada Ünal 🚢 admin tenant.start {"want": "stopped"} {"want": "running"}`,
			deploy,
			ourOwner + `  admin tenant.configure {"tenantName": "Ours"} {"tenantName": "Say \"ö\" \\"}`,
			ourOwner + `  admin tenant.stop {"want": "running"} {"want": "stopped"}`,
			deploy,
		},
		theirs: {theirAdmin + `  admin tenant.configure {"tenantName": "Theirs"} {"tenantName": "N"}`},
	} {
		var got []string
		for _, e := range chainOf(t, s, organization) {
			got = append(got, fmt.Sprintf("%s %s %s %s %s %s", e.ActorID, e.ActorName, e.ActorRole, e.Action, e.Before, e.After))
			if e.Target != organization || e.Outcome != berth.AuditDone || time.Since(e.At) > time.Minute {
				t.Errorf("%+v", e)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %s:\n%q, want\n%q", organization, got, want)
		}
	}
}

func TestInAProjectThatIsThereTheAuditSaysWhoItWas(t *testing.T) {
	for name := range inhabited {
		db := project(t, name)
		connect(t, "postgres", db).run(`INSERT INTO berth.organization_settings (organization_id, name, self_service) VALUES ('` + ours + `', 'Ours', 22)`)
		c := connect(t, "authenticator", db)
		c.run(`SET ROLE authenticated; SET request.jwt.claims = '{"sub": "` + ourOwner + `"}'; UPDATE public.tenant_containers SET want = 'running'`)
		list := chainOf(t, openStore(t, db), ours)
		if len(list) != 1 || list[0].ActorID != ourOwner || list[0].ActorRole != berth.RoleAdmin {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// Among so many, some end in zeros, which the hash leaves out of the time.
func TestAnAdminAndBerthWriteOneChainTogether(t *testing.T) {
	db := database(t, migrated, "")
	connect(t, "postgres", db).run(twoOrganizations + people)
	s := openStore(t, db)
	c := connect(t, "authenticator", db)
	const each = 150
	done := make(chan error, 1)
	go func() {
		for range each {
			if err := appendAudit(t, s, ours); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	c.run(`SET ROLE authenticated; SET request.jwt.claims = '{"sub": "` + ourAdmin + `"}'`)
	for n := range each {
		c.run(fmt.Sprintf(`UPDATE public.tenant_containers SET tenant_name = '%d'`, n))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	list, rounded := chainOf(t, s, ours), 0
	for _, e := range list {
		if e.ActorID == ourAdmin && e.At.Nanosecond()%10_000 == 0 {
			rounded++
		}
	}
	if len(list) != 2*each || rounded == 0 {
		t.Errorf("there are %d entries, %d of them with a time that ends in zero", len(list), rounded)
	}
}
