package berth_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

const (
	ownOrganization   = "550e8400-e29b-41d4-a716-446655440001"
	otherOrganization = "550e8400-e29b-41d4-a716-446655440002"
)

// May, in full: what each role may do to what is its own (or any, for who is
// bound to none), to another organization's, and to the installation's. In
// brackets is what it may only if the operator allows it.
func TestWhatEachRoleMayDo(t *testing.T) {
	const everything = "read start stop deploy configure people audit provision installation"
	for _, c := range []struct {
		role               berth.Role
		organization       string
		own, other, nobody string
	}{
		{berth.RoleSystem, "", everything, everything, everything},
		{berth.RoleOperator, "", everything, everything, everything},
		{berth.RoleOperator, ownOrganization, "read start stop deploy configure people audit", "", ""},
		{berth.RoleAdmin, ownOrganization, "read people audit (start) (stop) (deploy) (configure)", "", ""},
		{berth.RoleAdmin, "", "", "", ""},
		{berth.RoleMember, ownOrganization, "read", "", ""},
		{berth.RoleMember, "", "", "", ""},
		{berth.RoleDeployer, ownOrganization, "read (deploy)", "", ""},
		{berth.RoleDeployer, "", "read deploy", "read deploy", ""},
		{"", "", "", "", ""},
		{"", ownOrganization, "", "", ""},
		{"viewer", ownOrganization, "", "", ""},
	} {
		a := berth.Actor{ID: "x", Role: c.role, OrganizationID: c.organization}
		for organization, may := range map[string]string{ownOrganization: c.own, otherOrganization: c.other, "": c.nobody} {
			words := strings.Fields(may)
			for i, name := range berth.AllScopes.Names() {
				do := berth.Scopes(1 << i)
				for _, allowed := range []berth.Scopes{0, berth.SelfService, berth.AllScopes, do, berth.AllScopes &^ do} {
					want := slices.Contains(words, name) || slices.Contains(words, "("+name+")") && allowed.Has(do)
					if got := a.May(do, organization, allowed); got != want {
						t.Errorf("%s of %q may %s to %q, where %v is allowed: %v", c.role, c.organization, name, organization, allowed.Names(), got)
					}
				}
			}
			if a.May(0, organization, berth.AllScopes) {
				t.Errorf("%s may do nothing at all, which is a fault of the caller", c.role)
			}
		}
	}
}

func TestScopesNarrowARoleAndNeverWidenIt(t *testing.T) {
	for _, role := range []berth.Role{berth.RoleSystem, berth.RoleOperator, berth.RoleAdmin, berth.RoleMember, berth.RoleDeployer, ""} {
		for _, organization := range []string{"", ownOrganization} {
			for has := range berth.AllScopes + 1 {
				whole := berth.Actor{Role: role, OrganizationID: organization}
				narrow := whole
				narrow.Scopes = has
				for i := range berth.AllScopes.Names() {
					do := berth.Scopes(1 << i)
					want := whole.May(do, ownOrganization, berth.SelfService) && (has == 0 || has.Has(do))
					if got := narrow.May(do, ownOrganization, berth.SelfService); got != want {
						t.Fatalf("%s of %q with %v may %v: %v", role, organization, has.Names(), do.Names(), got)
					}
				}
			}
		}
	}
}

// What a store lets through: own organization, another, the installation.
func TestWhatAStoreLetsThrough(t *testing.T) {
	type access struct{ see, write, manage string } // of "own other house"
	for _, c := range []struct {
		role         berth.Role
		organization string
		want         access
		everywhere   bool
	}{
		{berth.RoleSystem, "", access{"own other house", "own other house", "own other house"}, true},
		{berth.RoleOperator, "", access{"own other house", "own other house", "own other house"}, true},
		{berth.RoleOperator, ownOrganization, access{"own", "own", "own"}, false},
		{berth.RoleSystem, ownOrganization, access{"own", "own", "own"}, false},
		{berth.RoleAdmin, ownOrganization, access{"own", "own", "own"}, false},
		{berth.RoleAdmin, "", access{}, false},
		{berth.RoleMember, ownOrganization, access{"own", "", ""}, false},
		{berth.RoleMember, "", access{}, false},
		{berth.RoleDeployer, ownOrganization, access{"own", "own", ""}, false},
		{berth.RoleDeployer, "", access{"own other", "own other", ""}, true},
		{"", "", access{}, false},
		{"", ownOrganization, access{}, false},
		{"viewer", ownOrganization, access{}, false},
	} {
		a := berth.Actor{ID: "x", Role: c.role, OrganizationID: c.organization}
		through := func(may func(string) bool) string {
			var names []string
			for _, of := range []struct{ name, id string }{{"own", ownOrganization}, {"other", otherOrganization}, {"house", ""}} {
				if may(of.id) {
					names = append(names, of.name)
				}
			}
			return strings.Join(names, " ")
		}
		if got := (access{through(a.MaySee), through(a.MayWrite), through(a.MayManage)}); got != c.want {
			t.Errorf("%s of %q: %+v, want %+v", c.role, c.organization, got, c.want)
		}
		if a.Installation() != strings.Contains(c.want.see, "house") || a.Everywhere() != c.everywhere {
			t.Errorf("%s of %q: installation %v, everywhere %v", c.role, c.organization, a.Installation(), a.Everywhere())
		}
	}
}
