package berth_test

import (
	"slices"
	"testing"

	"github.com/unite-hub/berth"
)

func TestScopesAreReadFromTheirNames(t *testing.T) {
	if len(berth.AllScopes.Names()) != 9 || berth.AllScopes != 1<<9-1 {
		t.Fatalf("there are %d names of the scopes %b", len(berth.AllScopes.Names()), berth.AllScopes)
	}
	for s := range berth.AllScopes + 1 {
		back, err := berth.ParseScopes(s.Names())
		if err != nil || back != s {
			t.Errorf("%b became %b by way of %v, %v", s, back, s.Names(), err)
		}
	}
	for _, c := range []struct {
		names []string
		want  berth.Scopes
	}{{nil, 0}, {[]string{"read", "read"}, berth.ScopeRead}, {[]string{"installation", "deploy"}, berth.ScopeDeploy | berth.ScopeInstallation}} {
		if got, err := berth.ParseScopes(c.names); got != c.want || err != nil {
			t.Errorf("%v: %b, %v", c.names, got, err)
		}
	}
	for _, bad := range []string{"", "Read", "read ", "all"} {
		if _, err := berth.ParseScopes([]string{"read", bad}); !berth.Is(err, berth.CodeInvalidScope) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNamesOfScopesHaveAFixedOrderAndAreNeverNil(t *testing.T) {
	if names := berth.Scopes(0).Names(); names == nil || len(names) != 0 {
		t.Errorf("got %#v", names)
	}
	if names := (berth.ScopeInstallation | berth.ScopeRead | berth.ScopeStop).Names(); !slices.Equal(names, []string{"read", "stop", "installation"}) {
		t.Errorf("got %v", names)
	}
}

func TestASetHasAllOfWhatIsAskedAndNobodyHasNothing(t *testing.T) {
	s := berth.ScopeRead | berth.ScopeDeploy
	for do, want := range map[berth.Scopes]bool{
		0: false, berth.ScopeRead: true, berth.ScopeDeploy: true, berth.ScopeRead | berth.ScopeDeploy: true, berth.ScopeStop: false, berth.ScopeRead | berth.ScopeStop: false, berth.AllScopes: false,
	} {
		if s.Has(do) != want {
			t.Errorf("%v has %v: %v", s.Names(), do.Names(), s.Has(do))
		}
	}
}
