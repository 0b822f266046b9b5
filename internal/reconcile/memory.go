package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/unite-hub/berth"
)

// memory is what the loop remembers of deployments under way. After a crash
// it is empty: a restart is then done once more, and patience begins anew.
type memory struct {
	mu    sync.Mutex
	byOrg map[string]remembered // the tenant's latest deployment
}

type remembered struct {
	deployment string // id
	adopted    bool
	restarted  bool
	available  bool      // its images were seen to be there
	since      time.Time // when patience with it began
	arrived    time.Time // when traffic moved to what it made; zero if it did not yet
	well       time.Time // since when all that is to take requests answers well; zero if it does not
	wasWell    bool      // they did once
	relapses   int       // rounds in a row since then in which not all did
	progress   berth.Progress
	steps      []berth.DeploymentStep // with those that are recorded
}

func (m *memory) recall(d *berth.Deployment) remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.get(d)
}

func (m *memory) get(d *berth.Deployment) remembered {
	r := m.byOrg[d.OrganizationID]
	if r.deployment != d.ID {
		r = remembered{deployment: d.ID, steps: slices.Clone(d.Steps)}
	}
	return r
}

// update changes what is remembered of a deployment; nil means there is none.
func (m *memory) update(d *berth.Deployment, f func(*remembered)) {
	if d == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.get(d)
	f(&r)
	m.byOrg[d.OrganizationID] = r
}

// steps are those that a deployment has taken.
func (m *memory) steps(d *berth.Deployment) []berth.DeploymentStep {
	return slices.Clone(m.recall(d).steps)
}

// impatient begins to count how long a deployment takes, if that was not begun
// before.
func (m *memory) impatient(d *berth.Deployment) {
	m.update(d, func(r *remembered) {
		if r.since.IsZero() {
			r.since = time.Now()
		}
	})
}

// waited is how long a deployment has taken, without the time for which what it
// made is observed.
func (r remembered) waited(observe time.Duration) time.Duration {
	if r.since.IsZero() {
		return 0
	}
	waited := time.Since(r.since)
	if !r.well.IsZero() {
		waited -= min(time.Since(r.well), observe)
	}
	return waited
}

func (m *memory) progress(deploymentID string) (berth.Progress, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.byOrg { // few: only tenants with a deployment under way
		if r.deployment == deploymentID {
			return r.progress, r.progress.Step != ""
		}
	}
	return berth.Progress{}, false
}

func (m *memory) forget(organizationID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byOrg, organizationID)
}

// waiters are those who await the end of a deployment.
type waiters struct {
	mu   sync.Mutex
	byID map[string]*waiter
}

type waiter struct {
	n    int
	over chan struct{}
}

func (w *waiters) join(deploymentID string) (over <-chan struct{}, release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	it := w.byID[deploymentID]
	if it == nil {
		it = &waiter{over: make(chan struct{})}
		w.byID[deploymentID] = it
	}
	it.n++
	return it.over, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if it.n--; it.n == 0 && w.byID[deploymentID] == it {
			delete(w.byID, deploymentID)
		}
	}
}

func (w *waiters) wake(deploymentID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it, ok := w.byID[deploymentID]; ok {
		close(it.over)
		delete(w.byID, deploymentID)
	}
}

// engineState is what is known of the engine as a whole: a breaker that keeps
// a thousand tenants from each waiting for the same deadline.
type engineState struct {
	mu     sync.Mutex
	info   berth.EngineInfo
	up     bool
	broken chan struct{} // holds one token when the engine was found not to answer
}

func (e *engineState) get() (berth.EngineInfo, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.info, e.up
}

func (e *engineState) set(info berth.EngineInfo) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.info, e.up = info, true
}

// trip opens the breaker. It reports whether it was closed before.
func (e *engineState) trip() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.up
	e.up = false
	select {
	case e.broken <- struct{}{}:
	default:
	}
	return was
}

const (
	contactPause    = time.Second     // between attempts to reach an engine that does not answer
	contactDeadline = 5 * time.Second // of one attempt
)

// contact asks the engine who it is.
func (l *Loop) contact(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, contactDeadline)
	defer cancel()
	info, err := l.Engine.Info(ctx)
	if err == nil {
		err = l.expected(info)
	}
	if err != nil {
		if l.engine.trip() {
			l.Log.Warn("engine does not answer", "error", err)
		}
		return false
	}
	l.engine.set(info)
	return true
}

// doubt is called when the engine failed for one tenant. If it answers
// otherwise, the trouble is that tenant's alone.
func (l *Loop) doubt(ctx context.Context) {
	if _, up := l.engine.get(); up && !l.contact(ctx) {
		l.blur(ctx)
	}
}

// mind closes the breaker again once the engine answers, and looks at
// everything then.
func (l *Loop) mind(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.engine.broken:
		}
		for !l.contact(ctx) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(contactPause):
			}
		}
		l.Log.Info("engine answers")
		select {
		case l.rescan <- struct{}{}:
		default:
		}
	}
}
