package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/engine/enginetest"
	"github.com/unite-hub/berth/internal/tenancy"
)

// The rest waits for the database, and the tenant is recorded as stopped until it
// runs: that is no success yet.
func TestAStartIsNotCompletedWhileServicesWaitForOthers(t *testing.T) {
	t.Parallel()
	withProduct(t, func(m *model) {
		m.provisionProduct(false)
		db := "sha256:" + strings.Repeat("d", 64)
		m.engine.SetImage(db, enginetest.Program{Unwell: true})
		r, err := m.service.Start(ctx, m.actor, tenancy.Call{}, orgID(1))
		m.must(err)
		<-time.After(10 * time.Second)
		d, err := m.service.Deployment(ctx, m.actor, orgID(1), r.Deployment.ID)
		m.must(err)
		if d.Over() {
			t.Errorf("the start is %s while the database is not well", d.Status)
		}
		m.engine.SetImage(db, enginetest.Program{})
		if d := m.done(r, nil); d.Status != berth.DeploymentCompleted {
			t.Errorf("%s: %s", d.Status, d.Error)
		}
		m.whole(imageV1)
	})
}
