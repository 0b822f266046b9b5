package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// user is the n-th, complete.
func user(n int) berth.User {
	return berth.User{ID: id(n), Email: fmt.Sprintf("Ada.%d@Example.com", n), Name: "Ada 🚢", CreatedAt: noon}
}

func membership(userNumber, organizationNumber int, role berth.Role) berth.Membership {
	return berth.Membership{UserID: id(userNumber), OrganizationID: org(organizationNumber), Role: role, CreatedAt: noon}
}

func session(n, userNumber int) berth.Session {
	return berth.Session{
		ID: id(n), Hash: digest(n), UserID: id(userNumber), Address: "192.0.2.1", CreatedAt: noon, ExpiresAt: noon.Add(time.Hour), LastSeenAt: noon,
	}
}

func invitation(n int, organizationID string, role berth.Role) berth.Invitation {
	return berth.Invitation{
		ID: id(n), Hash: digest(n), Email: "new@example.com", OrganizationID: organizationID, Role: role,
		CreatedBy: "token-1", CreatedAt: noon, ExpiresAt: noon.Add(time.Hour),
	}
}

// users stores users.
func (f fixture) users(numbers ...int) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, n := range numbers {
			if err := tx.PutUser(ctx, user(n)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f fixture) members(list ...berth.Membership) {
	f.Helper()
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, m := range list {
			if err := tx.PutMembership(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

var peopleTests = []test{
	{"a user comes back as stored, by id and by address without case", func(f fixture) {
		f.users(1, 2)
		changed := user(1)
		changed.Email, changed.Name, changed.Operator, changed.DisabledAt = "GRACE@example.com", "Grace", true, noon.Add(time.Minute)
		again := changed
		again.CreatedAt = noon.Add(time.Hour)
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.PutUser(ctx, again) })
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			got, err := tx.User(ctx, id(1))
			f.same(got, changed)
			if err != nil {
				return err
			}
			got, ok, err := tx.UserByEmail(ctx, "grace@EXAMPLE.com")
			f.same(got, changed)
			if _, old, _ := tx.UserByEmail(ctx, user(1).Email); !ok || old || err != nil {
				f.Errorf("found %v, by the former address %v, %v", ok, old, err)
			}
			_, err = tx.User(ctx, id(9))
			f.code(err, berth.CodeUserNotFound)
			list, _, err := tx.ListUsers(ctx, store.Page{})
			f.same(list, []berth.User{changed, user(2)})
			return err
		})
	}},
	{"an address is one user's, in whatever case", func(f fixture) {
		f.users(1, 2)
		taken := user(3)
		taken.Email = "ADA.1@example.com"
		for _, n := range []int{3, 2} { // a new one, and one that is there
			taken.ID = id(n)
			f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.PutUser(ctx, taken) }), berth.CodeEmailTaken)
		}
		taken.ID = id(1) // their own, written otherwise
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.PutUser(ctx, taken) })
	}},
	{"a user is known by issuer and subject together", func(f fixture) {
		f.users(1, 2)
		put := func(issuer, subject string, n int) error {
			return f.try(operator, func(ctx context.Context, tx store.Tx) error {
				return tx.PutIdentity(ctx, berth.Identity{Issuer: issuer, Subject: subject, UserID: id(n)})
			})
		}
		for _, err := range []error{put("https://a", "s", 1), put("https://b", "s", 2), put("https://a", "t", 1), put("https://a", "t", 2)} {
			if err != nil {
				f.Fatal(err)
			}
		}
		f.code(put("https://a", "u", 9), berth.CodeUserNotFound)
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			for _, c := range []struct {
				issuer, subject string
				want            int
			}{{"https://a", "s", 1}, {"https://b", "s", 2}, {"https://a", "t", 2}, {"https://b", "t", 0}, {"https://A", "s", 0}} {
				got, ok, err := tx.UserByIdentity(ctx, c.issuer, c.subject)
				if err != nil {
					return err
				}
				if ok != (c.want != 0) {
					f.Errorf("%s of %s: found %v", c.subject, c.issuer, ok)
				} else if ok {
					f.same(got, user(c.want))
				}
			}
			return nil
		})
	}},
	{"a membership is one per user and organization", func(f fixture) {
		f.users(1, 2)
		f.organizations(1, 2)
		a, b, c := membership(2, 1, berth.RoleAdmin), membership(1, 1, berth.RoleMember), membership(2, 2, berth.RoleDeployer)
		f.members(a, b, c)
		changed := b
		changed.Role, changed.CreatedAt = berth.RoleAdmin, noon.Add(time.Hour)
		f.members(changed)
		b.Role = berth.RoleAdmin
		check := func(ofOne, ofTwo []berth.Membership) {
			f.Helper()
			f.view(operator, func(ctx context.Context, tx store.Tx) error {
				list, _, err := tx.ListMembers(ctx, org(1), store.Page{})
				f.same(list, ofOne)
				if err != nil {
					return err
				}
				list, err = tx.MembershipsOf(ctx, id(2))
				f.same(list, ofTwo)
				return err
			})
		}
		check([]berth.Membership{b, a}, []berth.Membership{a, c})
		remove := func(ctx context.Context, tx store.Tx) error { return tx.DeleteMembership(ctx, id(2), org(1)) }
		f.tx(remove)
		check([]berth.Membership{b}, []berth.Membership{c})
		f.code(f.try(operator, remove), berth.CodeNotFound)
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error {
			return tx.PutMembership(ctx, membership(9, 1, berth.RoleMember))
		}), berth.CodeUserNotFound)
		f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error {
			return tx.PutMembership(ctx, membership(1, 9, berth.RoleMember))
		}), berth.CodeOrganizationNotFound)
	}},
	{"who is bound to an organization sees its members and no other user", func(f fixture) {
		f.users(1, 2, 3)
		f.organizations(1, 2)
		f.members(membership(1, 1, berth.RoleAdmin), membership(2, 2, berth.RoleAdmin), membership(3, 1, berth.RoleMember), membership(3, 2, berth.RoleAdmin))
		f.view(berth.Actor{ID: id(1), Role: berth.RoleAdmin, OrganizationID: org(1)}, func(ctx context.Context, tx store.Tx) error {
			list, _, err := tx.ListUsers(ctx, store.Page{})
			f.same(list, []berth.User{user(1), user(3)})
			if err != nil {
				return err
			}
			_, hidden := tx.User(ctx, id(2))
			f.code(hidden, berth.CodeUserNotFound)
			if _, ok, err := tx.UserByEmail(ctx, user(2).Email); ok || err != nil {
				f.Errorf("another organization's user is found by address: %v, %v", ok, err)
			}
			memberships, err := tx.MembershipsOf(ctx, id(3))
			f.same(memberships, []berth.Membership{membership(3, 1, berth.RoleMember)})
			return err
		})
	}},
	{"sessions are found by hash and never come back from revocation", testSessions},
	{"sessions that were over before a time are forgotten", func(f fixture) {
		f.users(1)
		expired, revoked, valid, late := session(1, 1), session(2, 1), session(3, 1), session(4, 1)
		expired.ExpiresAt, revoked.RevokedAt, late.RevokedAt = noon.Add(-time.Hour), noon.Add(-time.Hour), noon
		f.tx(func(ctx context.Context, tx store.Tx) error {
			for _, s := range []berth.Session{expired, revoked, valid, late} {
				if err := tx.InsertSession(ctx, s); err != nil {
					return err
				}
			}
			for i, want := range []int{1, 1, 0} { // a batch at a time
				if n, err := tx.ForgetSessions(ctx, noon, 1); n != want || err != nil {
					f.Errorf("batch %d dropped %d, want %d: %v", i, n, want, err)
				}
			}
			return nil
		})
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			for n, want := range map[int]bool{1: false, 2: false, 3: true, 4: true} {
				if _, ok, err := tx.SessionByHash(ctx, digest(n)); ok != want || err != nil {
					f.Errorf("session %d is there: %v, %v", n, ok, err)
				}
			}
			return nil
		})
	}},
	{"an invitation is closed once", testInvitations},
	{"of many that accept an invitation at once, one does", func(f fixture) {
		f.users(1, 2, 3, 4)
		f.organizations(1)
		i := invitation(1, org(1), berth.RoleMember)
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.InsertInvitation(ctx, i) })
		results := make(chan error)
		for n := range 4 {
			go func() {
				mine := i
				mine.AcceptedAt, mine.AcceptedBy = noon, id(n+1)
				results <- f.store.InTx(f.Context(), berth.System(), func(tx store.Tx) error { return tx.CloseInvitation(f.Context(), mine) })
			}()
		}
		won := 0
		for range 4 {
			switch err := <-results; {
			case err == nil:
				won++
			case !berth.Is(err, berth.CodeStale):
				f.Errorf("accept: %v", err)
			}
		}
		if won != 1 {
			f.Errorf("%d accepted", won)
		}
	}},
}

func testSessions(f fixture) {
	f.users(1, 2)
	a, b, c := session(1, 1), session(2, 1), session(3, 2)
	b.LastSeenAt, b.Address = time.Time{}, ""
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, s := range []berth.Session{a, b, c} {
			if err := tx.InsertSession(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	update := func(s berth.Session) {
		f.tx(func(ctx context.Context, tx store.Tx) error { return tx.UpdateSession(ctx, s) })
	}
	check := func(at time.Time, want ...berth.Session) {
		f.Helper()
		f.view(operator, func(ctx context.Context, tx store.Tx) error {
			list, err := tx.SessionsOf(ctx, id(1), at)
			f.same(list, want)
			return err
		})
	}
	check(noon, b, a)
	check(noon.Add(time.Hour)) // they end then
	seen, revoked := a, a
	seen.LastSeenAt = noon.Add(time.Minute)
	revoked.RevokedAt = noon.Add(time.Second)
	update(revoked) // meanwhile
	update(seen)    // a late note of use
	update(a)       // and one from before
	check(noon, b)
	want := revoked
	want.LastSeenAt = seen.LastSeenAt
	f.view(operator, func(ctx context.Context, tx store.Tx) error {
		got, ok, err := tx.SessionByHash(ctx, a.Hash)
		f.same(got, want)
		if _, other, _ := tx.SessionByHash(ctx, digest(9)); !ok || other {
			f.Errorf("found %v, and a hash nobody has %v", ok, other)
		}
		return err
	})
	f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.UpdateSession(ctx, session(9, 1)) }), berth.CodeNotFound)
	f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.InsertSession(ctx, session(9, 9)) }), berth.CodeUserNotFound)
}

func testInvitations(f fixture) {
	f.users(1)
	f.organizations(1)
	one, two, house := invitation(1, org(1), berth.RoleAdmin), invitation(2, org(1), berth.RoleMember), invitation(3, "", berth.RoleOperator)
	f.tx(func(ctx context.Context, tx store.Tx) error {
		for _, i := range []berth.Invitation{one, two, house} {
			if err := tx.InsertInvitation(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
	shut := func(i berth.Invitation) error {
		return f.try(operator, func(ctx context.Context, tx store.Tx) error { return tx.CloseInvitation(ctx, i) })
	}
	one.AcceptedAt, one.AcceptedBy = noon.Add(time.Minute), id(1)
	two.RevokedAt = noon.Add(time.Minute)
	for _, i := range []berth.Invitation{one, two} {
		if err := shut(i); err != nil {
			f.Fatal(err)
		}
		again := i
		again.AcceptedAt, again.AcceptedBy, again.RevokedAt = noon, id(1), time.Time{}
		f.code(shut(again), berth.CodeStale)
	}
	f.code(shut(invitation(9, org(1), berth.RoleMember)), berth.CodeNotFound)
	f.view(operator, func(ctx context.Context, tx store.Tx) error {
		for organizationID, want := range map[string][]berth.Invitation{org(1): {two, one}, "": {house}, org(2): {}} {
			list, _, err := tx.ListInvitations(ctx, organizationID, store.Page{})
			f.same(list, want)
			if err != nil {
				return err
			}
		}
		got, ok, err := tx.InvitationByHash(ctx, one.Hash)
		f.same(got, one)
		if _, other, _ := tx.InvitationByHash(ctx, digest(9)); !ok || other {
			f.Errorf("found %v, and a hash nobody has %v", ok, other)
		}
		return err
	})
	f.code(f.try(operator, func(ctx context.Context, tx store.Tx) error {
		return tx.InsertInvitation(ctx, invitation(9, org(9), berth.RoleMember))
	}), berth.CodeOrganizationNotFound)
	if err := f.try(operator, func(ctx context.Context, tx store.Tx) error {
		same := invitation(9, org(1), berth.RoleMember)
		same.Hash = one.Hash
		return tx.InsertInvitation(ctx, same)
	}); err == nil {
		f.Error("two invitations have one hash")
	}
}
