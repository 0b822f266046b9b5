package berth_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/unite-hub/berth"
)

// chain is n entries that follow each other.
func chain(n int) []berth.AuditEntry {
	var list []berth.AuditEntry
	var prev []byte
	for i := range n {
		e := berth.AuditEntry{
			Seq: int64(i + 1), ID: berth.NewID(), OrganizationID: ownOrganization, At: time.Date(2026, 1, 2, 3, 4, i, 6000, time.UTC), ActorID: "a", ActorName: "Ada",
			ActorRole: berth.RoleAdmin, Address: "192.0.2.1", RequestID: "r", Action: "tenant.deploy", Target: "t", Outcome: berth.AuditDenied,
			Code: berth.CodeForbidden, Before: "{}", After: "[]", PrevHash: prev,
		}
		e.Hash = e.Sum()
		list, prev = append(list, e), e.Hash
	}
	return list
}

// intact reports the first entry that does not follow, or -1.
func intact(list []berth.AuditEntry) int {
	var prev *berth.AuditEntry
	for i := range list {
		if !list[i].Follows(prev) {
			return i
		}
		prev = &list[i]
	}
	return -1
}

func TestAChainFollowsAndItsEntriesCantBeTakenOutOrMoved(t *testing.T) {
	whole := chain(4)
	if i := intact(whole); i != -1 {
		t.Fatalf("entry %d does not follow", i)
	}
	for name, c := range map[string]struct {
		list []berth.AuditEntry
		want int
	}{
		"the first is missing":  {whole[1:], 0},
		"a middle is missing":   {[]berth.AuditEntry{whole[0], whole[2]}, 1},
		"two are swapped":       {[]berth.AuditEntry{whole[0], whole[2], whole[1]}, 1},
		"one is there twice":    {[]berth.AuditEntry{whole[0], whole[0]}, 1},
		"another chain's entry": {[]berth.AuditEntry{whole[0], chain(2)[1]}, 1},
	} {
		if got := intact(c.list); got != c.want {
			t.Errorf("%s: seen at %d, want %d", name, got, c.want)
		}
	}
}

// Every field is changed in turn, so that a new one can't be left out of Sum.
func TestAChangeOfAnyFieldIsSeen(t *testing.T) {
	kind := reflect.TypeFor[berth.AuditEntry]()
	for i := range kind.NumField() {
		list := chain(3)
		v := reflect.ValueOf(&list[1]).Elem().Field(i)
		switch x := v.Addr().Interface().(type) {
		case *int64:
			*x++
		case *time.Time:
			*x = x.Add(time.Microsecond)
		case *[]byte:
			*x = append(bytes.Clone(*x), 0)
		default:
			v.SetString(v.String() + "x")
		}
		if got := intact(list); got != 1 {
			t.Errorf("a change of %s is seen at %d", kind.Field(i).Name, got)
		}
		if kind.Field(i).Name == "Hash" {
			continue
		}
		// Whoever makes up a new hash for it breaks what comes after.
		list[1].Hash = list[1].Sum()
		if got := intact(list); got != 1 && got != 2 {
			t.Errorf("a change of %s with a new hash is seen at %d", kind.Field(i).Name, got)
		}
	}
}

func TestWhatIsMovedFromOneFieldToTheNextIsAnotherSum(t *testing.T) {
	a, b := berth.AuditEntry{ActorID: "ab", ActorName: "c"}, berth.AuditEntry{ActorID: "a", ActorName: "bc"}
	if bytes.Equal(a.Sum(), b.Sum()) {
		t.Error("two entries have one sum")
	}
}

func TestASumDoesNotDependOnTheZone(t *testing.T) {
	a := chain(1)[0]
	b := a
	b.At = a.At.In(time.FixedZone("", 3600))
	if !bytes.Equal(a.Sum(), b.Sum()) {
		t.Error("the zone changes the sum")
	}
}
