package api

import (
	"fmt"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/unite-hub/berth"
)

// Organizations that take all they can leave something to each that comes later.
func TestOrganizationsLeaveStreamsToOthers(t *testing.T) {
	t.Parallel()
	u := newTallied("streams", Share{Actor: 400, Organization: 200, All: 400}, Share{})
	for n := range 8 {
		actor := berth.Actor{ID: fmt.Sprint("token ", n), Role: berth.RoleMember, OrganizationID: fmt.Sprint("org ", n)}
		took := 0
		for ; took < 400; took++ {
			if _, err := u.take(actor); err != nil {
				break
			}
		}
		if took == 0 {
			t.Errorf("organization %d gets nothing", n)
		}
	}
}

// A chain grows without end, so that whoever has many verified at once would take
// the whole processor.
func TestAnOrganizationHasOneChainVerifiedAtATime(t *testing.T) {
	t.Parallel()
	u := newUnderWay(UnderWay{})
	verify, other := &huma.Operation{OperationID: "verify-organization-audit"}, &huma.Operation{OperationID: "get"}
	ada := berth.Actor{ID: "ada", Role: berth.RoleAdmin, OrganizationID: "one"}
	eve := berth.Actor{ID: "eve", Role: berth.RoleAdmin, OrganizationID: "one"}
	done, err := u.take(verify, ada)
	if err != nil {
		t.Fatal(err)
	}
	for _, actor := range []berth.Actor{ada, eve} {
		for range 200 { // what is refused counts as nothing
			if _, err := u.take(verify, actor); err == nil {
				t.Fatalf("%s has another one", actor.ID)
			}
		}
		if give, err := u.take(other, actor); err != nil {
			t.Error(err)
		} else {
			give()
		}
	}
	if _, err := u.take(verify, berth.Actor{ID: "bob", Role: berth.RoleAdmin, OrganizationID: "two"}); err != nil {
		t.Error(err)
	}
	if _, err := u.take(verify, berth.Actor{ID: "ops", Role: berth.RoleOperator}); err != nil {
		t.Error(err)
	}
	done()
	if _, err := u.take(verify, eve); err != nil {
		t.Error(err)
	}
}
