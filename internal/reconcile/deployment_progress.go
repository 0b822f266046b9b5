package reconcile

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/unite-hub/berth"
)

// deployments is what the loop remembers of deployments under way. After a crash
// it is empty: a restart is then done once more, and patience begins anew.
type deployments struct {
	mu    sync.Mutex
	byOrg map[string]deploymentProgress // the tenant's latest deployment
}

type deploymentProgress struct {
	deployment string // id
	adopted    bool
	restarted  bool
	available  bool          // its images were seen to be there
	since      time.Time     // when patience with it began
	spent      time.Duration // of patience, before since
	gotOnAt    time.Time     // when a pull last got on
	excused    time.Duration // that the pull took and that does not count
	arrived    time.Time     // when traffic moved to what it made; zero if it did not yet
	well       time.Time     // since when all that is to take requests answers well; zero if it does not
	wasWell    bool          // they did once
	relapses   int           // rounds in a row since then in which not all did
	progress   berth.Progress
	pullError  error                  // of the last attempt that was not cut off; nil for none
	clashed    []netip.Prefix         // that the engine refused
	steps      []berth.DeploymentStep // with those that are recorded
}

func (s *deployments) recall(d *berth.Deployment) deploymentProgress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(d)
}

func (s *deployments) get(d *berth.Deployment) deploymentProgress {
	r := s.byOrg[d.OrganizationID]
	if r.deployment != d.ID {
		r = deploymentProgress{deployment: d.ID, steps: slices.Clone(d.Steps)}
	}
	return r
}

// update changes what is remembered of a deployment; nil means there is none.
func (s *deployments) update(d *berth.Deployment, f func(*deploymentProgress)) {
	if d == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.get(d)
	f(&r)
	s.byOrg[d.OrganizationID] = r
}

// steps are those that a deployment has taken.
func (s *deployments) steps(d *berth.Deployment) []berth.DeploymentStep {
	return slices.Clone(s.recall(d).steps)
}

// impatient begins to count how long a deployment takes, if that was not begun
// before.
func (s *deployments) impatient(d *berth.Deployment) {
	s.update(d, func(r *deploymentProgress) {
		if r.since.IsZero() {
			r.since = time.Now()
		}
	})
}

// gotOn takes the time since a pull last got on, or began, from what counts
// against patience: a large image is none of the deployment's fault. For one image
// that is most, however often its pull is begun anew.
func (s *deployments) gotOn(d *berth.Deployment, most time.Duration) {
	s.update(d, func(r *deploymentProgress) {
		if now := time.Now(); !r.since.IsZero() {
			took := min(now.Sub(later(r.gotOnAt, r.since)), most-r.excused)
			r.since, r.excused = r.since.Add(took), r.excused+took
			r.gotOnAt = now
		}
	})
}

// pause stops to count until impatient is called again.
func (s *deployments) pause(d *berth.Deployment) {
	s.update(d, func(r *deploymentProgress) {
		if !r.since.IsZero() {
			r.spent, r.since, r.excused = r.spent+time.Since(r.since), time.Time{}, 0
		}
	})
}

// waited is how long a deployment has taken, without the time for which what it
// made is observed.
func (r deploymentProgress) waited(observe time.Duration) time.Duration {
	if r.since.IsZero() {
		return r.spent
	}
	waited := r.spent + time.Since(r.since)
	if !r.well.IsZero() {
		waited -= min(time.Since(r.well), observe)
	}
	return waited
}

func (s *deployments) progress(deploymentID string) (berth.Progress, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.byOrg { // few: only tenants with a deployment under way
		if r.deployment == deploymentID {
			return r.progress, r.progress.Step != ""
		}
	}
	return berth.Progress{}, false
}

// drop forgets the deployment that is remembered of a tenant unless it is the
// one with this id. was tells which it was, "" if there was none.
func (s *deployments) drop(organizationID, unless string) (was string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.byOrg[organizationID]; r.deployment != unless {
		delete(s.byOrg, organizationID)
		return r.deployment
	}
	return ""
}

// ids are the ids of those that are remembered, by organization.
func (s *deployments) ids() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make(map[string]string, len(s.byOrg))
	for org, r := range s.byOrg {
		ids[org] = r.deployment
	}
	return ids
}

func (s *deployments) forget(organizationID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byOrg, organizationID)
}

// pullError is why the last attempt to pull failed that was not cut off, nil if
// none did.
func (s *deployments) pullError(d *berth.Deployment) error {
	if d == nil {
		return nil
	}
	return s.recall(d).pullError
}
