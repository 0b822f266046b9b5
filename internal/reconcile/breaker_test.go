package reconcile_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/unite-hub/berth"
)

// Whoever runs tenants on an engine that does not hold them to their limits reads
// it in the log, without asking doctor.
func TestWhatAnEngineLacksIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(w *world) {
		var log bytes.Buffer
		w.log = &log
		w.engine.SetFindings(
			berth.EngineFinding{Check: "memory limit", Detail: "this Engine does not enforce it", Hint: "give it the controller"},
			berth.EngineFinding{Check: "cgroups", OK: true, Detail: "version 1"},
		)
		w.wire()
		w.run()
		w.completed(w.provision(1, "app:1", true))
		w.stop()
		warnings := 0
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "engine needs mending") {
				warnings++
				if !strings.Contains(line, "memory limit") || !strings.Contains(line, "give it the controller") {
					t.Errorf("warned of %s", line)
				}
			}
		}
		if warnings != 1 {
			t.Errorf("%d warnings:\n%s", warnings, log.String())
		}
	})
}
