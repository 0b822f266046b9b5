package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/unite-hub/berth"
)

// How often a container may crash, and how fast one without a sign of life is
// restarted. As in Cloud Foundry's Diego: it is given up after 8 crashes, and 5
// good minutes make up for all before.
const (
	crashesMost = 8
	goodTime    = 5 * time.Minute
	reviveBase  = time.Second
	reviveMost  = 5 * time.Minute
)

// givenUp begins the cause of a tenant with a container that was given up. A
// Berth that begins anew knows it by that.
const givenUp = "given up: "

// life is what the loop remembers of one container's crashes. Restarts by the
// engine and by us count alike.
type life struct {
	restarts int       // as the engine last showed
	started  time.Time // the same
	since    time.Time // when it was first seen with that start
	ended    time.Time // start of the last run that was seen to end without the engine's starting it again
	crashes  int       // since the last good time
	exit     int       // code of the last run that was seen to end badly; 0 for none
	dead     string    // why it is to be restarted; "" if it is not
	due      time.Time // when it may be restarted at the soonest
}

// Life is how a container that is wanted has fared.
type Life struct {
	Crashes int
	Exit    int    // code with which it last ended badly; 0 if that was not seen
	Dead    string // why it is to be restarted now; "" if it is not
}

// lives counts the crashes of what is seen, and forgets those of containers
// that have run well for long enough.
func (s *standings) lives(organizationID string, seen berth.Observed) map[string]Life {
	out := make(map[string]Life, len(seen.Containers))
	s.update(organizationID, func(it *standing) {
		for _, c := range seen.Containers {
			l := it.lives[c.ID]
			if l == nil {
				// What it went through before it was first seen is not held
				// against it.
				l = &life{restarts: c.Restarts, started: c.StartedAt, since: time.Now()}
				if c.State == berth.ContainerExited {
					l.ended = c.StartedAt
				}
				it.lives[c.ID] = l
			}
			// A tenant that is well is not looked at for long: a good time may
			// show only once it is over.
			if time.Since(l.since) >= goodTime && l.dead == "" && (c.State == berth.ContainerRunning || !l.started.Equal(c.StartedAt)) {
				l.crashes = 0
			}
			if c.Restarts > l.restarts {
				l.crashes += c.Restarts - l.restarts
			}
			if c.Unattended && c.State == berth.ContainerExited && !l.ended.Equal(c.StartedAt) {
				l.crashes++
				l.ended = c.StartedAt
			}
			if c.State != berth.ContainerRunning && c.ExitCode != 0 {
				l.exit = c.ExitCode
			}
			l.restarts = c.Restarts
			if !l.started.Equal(c.StartedAt) {
				l.started, l.since = c.StartedAt, time.Now()
			}
			dead := l.dead
			if time.Now().Before(l.due) {
				dead = ""
			}
			out[c.ID] = Life{Crashes: l.crashes, Exit: l.exit, Dead: dead}
		}
	})
	return out
}

// died notes that a container gives no sign of life.
func (s *standings) died(organizationID string, c berth.Container, cause string) {
	s.update(organizationID, func(it *standing) {
		if l := it.lives[c.ID]; l != nil && l.dead == "" {
			l.dead = cause
			l.due = time.Now().Add(min(reviveBase<<min(l.crashes, 10), reviveMost) - reviveBase)
		}
	})
}

// revived notes that a container was restarted for want of a sign of life.
func (s *standings) revived(organizationID, containerID string) {
	s.update(organizationID, func(it *standing) {
		if l := it.lives[containerID]; l != nil {
			l.crashes++
			l.dead, l.ended = "", l.started // what it does to the container is no crash besides
		}
	})
}

// pardon forgets all crashes: an order may have mended their cause.
func (s *standings) pardon(organizationID string) {
	s.update(organizationID, func(it *standing) { clear(it.lives) })
}

// oom reports whether a kill for want of memory is news: one a minute is told.
func (s *standings) oom(organizationID string) (news bool) {
	s.update(organizationID, func(it *standing) {
		if news = time.Since(it.oomAt) >= time.Minute; news {
			it.oomAt = time.Now()
		}
	})
	return news
}

// crashed returns the wanted containers that crashed too often.
func (m move) crashed(s Situation) (list []berth.Container) {
	for _, want := range m.stack.Containers() {
		if c, ok := m.kept[want.Name]; ok && s.Lives[c.ID].Crashes >= crashesMost {
			list = append(list, c)
		}
	}
	return list
}

// ended tells that a container which the engine started again ended badly
// before: that says more than the probe of a run that has only begun.
func (m move) ended(s Situation) string {
	for _, c := range m.main() {
		if code := s.Lives[c.ID].Exit; code != 0 {
			return fmt.Sprintf("it ended with exit code %d before; ", code)
		}
	}
	return ""
}

// lifeless returns a container that is to be restarted now.
func (m move) lifeless(s Situation) (c berth.Container, cause string) {
	for _, c := range m.main() {
		if why := s.Lives[c.ID].Dead; why != "" {
			return c, why
		}
	}
	return berth.Container{}, ""
}

// surrender gives services up whose containers crashed too often: those stay
// down until somebody orders otherwise. The tenant's others are tended as ever.
func surrender(s Situation, gated berth.Stack, m move, crashed []berth.Container) Plan {
	c := crashed[0]
	reason := fmt.Sprintf("service %s crashed %d times in a row; read its logs, then start or deploy again", c.Service, s.Lives[c.ID].Crashes)
	if s.Deployment != nil {
		return Plan{Steps: []Step{{Kind: StepFail, Reason: reason}}, Then: Wait}
	}
	for _, c := range crashed {
		if isUp(c) {
			s.Holding = false
			return Plan{Steps: []Step{m.route(s), {Kind: StepRest, Container: c.ID}}}
		}
	}
	gated.Services = slices.Clone(gated.Services)
	mainLeft := true
	for i := range gated.Services {
		svc := &gated.Services[i]
		if slices.ContainsFunc(crashed, func(c berth.Container) bool { return c.Service == svc.Name }) {
			svc.Held = true
			mainLeft = mainLeft && !svc.Main
		}
	}
	rest := newMove(gated, s)
	given := Step{Kind: StepSettle, Status: berth.StatusFailed, Health: berth.HealthUnhealthy, Reason: givenUp + reason, Event: berth.EventGaveUp}
	if rest.missing() == "" && !mainLeft {
		s.Holding = false
		return Plan{Steps: []Step{m.route(s), given}, Then: Wait, After: hopeless}
	}
	p := tend(s, rest, "")
	for i := range p.Steps {
		if p.Steps[i].Kind == StepSettle {
			p.Steps[i] = given
		}
	}
	if p.Then == Done {
		p.Then, p.After = Wait, hopeless
	}
	return p
}

// revive restarts a container that gives no sign of life.
func (p *pass) revive(ctx context.Context, s Step) error {
	p.stands.revived(p.Tenant.OrganizationID, s.Container)
	engine, ok := p.Engine.(Reviver)
	if !ok {
		return nil
	}
	if err := p.journal(ctx, berth.EventDrift, "a container gave no sign of life and is restarted: "+s.Reason); err != nil {
		return err
	}
	err := p.call(ctx, p.lanes.end, p.CallDeadline, func(ctx context.Context) error {
		return engine.Revive(ctx, p.Tenant.OrganizationID, s.Container)
	})
	if err != nil {
		return err
	}
	return p.observe(ctx)
}

// rest stops one container and leaves it down.
func (p *pass) rest(ctx context.Context, s Step) error {
	engine, ok := p.Engine.(Reviver)
	if !ok {
		return nil
	}
	err := p.call(ctx, p.lanes.end, p.CallDeadline, func(ctx context.Context) error {
		return engine.Rest(ctx, p.Tenant.OrganizationID, s.Container)
	})
	if err != nil {
		return err
	}
	return p.observe(ctx)
}
