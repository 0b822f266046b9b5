package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/tenancy"
)

// A registry that is out of order is asked again less and less often, but the
// deployment still ends at its deadline.
func TestADeploymentThatIsTriedAgainEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.completed(w.provision(1, "app:1", true))
		image := "registry.example/app:9"
		w.engine.InRegistry(image, "", berth.Errorf(berth.CodeRegistryUnavailable, "out of order"))
		began := time.Now()
		d := w.done(w.service.Deploy(ctx, w.actor, tenancy.Call{}, orgID(1), tenancy.Deploy{ImageTag: &image}))
		if took := time.Since(began); d.Status != berth.DeploymentFailed || took < w.config.Patience || took > w.config.Patience+time.Second {
			t.Errorf("%s after %v of %v: %s", d.Status, took, w.config.Patience, d.Error)
		}
	})
}

func TestADeploymentThatHangsEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		w.run()
		w.apply([]byte(strings.Replace(single, "x-berth: {", "x-berth: {health: {interval: 30s, timeout: 17s}, ", 1)))
		w.provisionOf(1, "single")
		w.hangs.Store(true)
		began := time.Now()
		d := w.done(w.deployTag(1, "sick"))
		if took := time.Since(began); d.Status != berth.DeploymentFailed || took < w.config.Patience || took > w.config.Patience+2*time.Second {
			t.Errorf("%s after %v of %v: %s", d.Status, took, w.config.Patience, d.Error)
		}
	})
}
