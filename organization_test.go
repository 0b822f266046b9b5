package berth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
)

func TestAMailAddressIsOneBareAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"ada@example.com": true, "Ada.Lovelace+x@Example.com": true, "a@b": true,
		"": false, "ada": false, "@example.com": false, "ada@": false, "Ada <ada@example.com>": false, "<ada@example.com>": false,
		"ada@example.com, eve@example.com": false, " ada@example.com": false, "ada@example.com ": false, "ada@example.com\n": false,
		"ada@exam ple.com": false, "ada@example.com\r\nBcc: eve@example.com": false,
		strings.Repeat("a", 242) + "@example.com": true, strings.Repeat("a", 243) + "@example.com": false, // 254 bytes
	} {
		err := berth.ValidateEmail(address)
		if (err == nil) != want || err != nil && !berth.Is(err, berth.CodeInvalidEmail) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestAddressesAreComparedWithoutCase(t *testing.T) {
	if berth.FoldEmail("Ada@Example.COM") != berth.FoldEmail("ada@example.com") {
		t.Error("case makes another address")
	}
}

func TestALabelHas1To100Characters(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "Ada Lovelace 🚢": true, strings.Repeat("ä", 100): true,
		"": false, " ": false, "\u00a0": false, strings.Repeat("ä", 101): false, "a\nb": false, "a\x00": false, "\u0085": false, "a\xff": false,
	} {
		err := berth.ValidateLabel("Token name", "name", name)
		if (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
		var e *berth.Error
		if err != nil {
			e = err.(*berth.Error)
			if e.Code != berth.CodeInvalidRequest || e.Field != "name" || e.Hint == "" || !strings.HasPrefix(e.Message, "Token name must") {
				t.Errorf("%q: %+v", name, e)
			}
		}
	}
}

func TestWhatIsOverIsNotValid(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later, before := now.Add(time.Second), now.Add(-time.Second)
	for _, c := range []struct {
		what string
		got  bool
		want bool
	}{
		{"session", berth.Session{ExpiresAt: later}.Valid(now), true},
		{"session that ends now", berth.Session{ExpiresAt: now}.Valid(now), false},
		{"session without an end", berth.Session{}.Valid(now), false},
		{"session revoked", berth.Session{ExpiresAt: later, RevokedAt: before}.Valid(now), false},
		{"token", berth.Token{}.Valid(now), true},
		{"token that ends later", berth.Token{ExpiresAt: later}.Valid(now), true},
		{"token that ends now", berth.Token{ExpiresAt: now}.Valid(now), false},
		{"token revoked", berth.Token{RevokedAt: before}.Valid(now), false},
		{"invitation", berth.Invitation{ExpiresAt: later}.Open(now), true},
		{"invitation that ends now", berth.Invitation{ExpiresAt: now}.Open(now), false},
		{"invitation accepted", berth.Invitation{ExpiresAt: later, AcceptedAt: before}.Open(now), false},
		{"invitation revoked", berth.Invitation{ExpiresAt: later, RevokedAt: before}.Open(now), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", c.what, c.got)
		}
	}
}

func TestARequestWithATokenActsAsItsActor(t *testing.T) {
	k := berth.Token{ID: "t", Name: "ci", Role: berth.RoleDeployer, OrganizationID: ownOrganization, Scopes: berth.ScopeRead}
	if got, want := k.Actor(), (berth.Actor{ID: "t", Name: "ci", Role: berth.RoleDeployer, OrganizationID: ownOrganization, Scopes: berth.ScopeRead}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
