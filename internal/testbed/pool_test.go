package testbed

import "testing"

func TestAPoolIsClaimedByOneAtATime(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	one, err := ClaimPool()
	if err != nil {
		t.Fatal(err)
	}
	two, err := ClaimPool()
	if err != nil {
		t.Fatal(err)
	}
	if one.Overlaps(two.Prefix) {
		t.Errorf("%s and %s overlap", one.Prefix, two.Prefix)
	}
	if err := one.Release(); err != nil {
		t.Fatal(err)
	}
	three, err := ClaimPool()
	if err != nil {
		t.Fatal(err)
	}
	if three.Prefix != one.Prefix {
		t.Errorf("%s was released, and %s was claimed", one.Prefix, three.Prefix)
	}
	for _, p := range []*Pool{two, three} {
		if err := p.Release(); err != nil {
			t.Fatal(err)
		}
	}
}
