package api

import (
	"fmt"
	"testing"

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
