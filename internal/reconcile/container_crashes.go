package reconcile

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
)

// How fast a container without a sign of life is restarted, and how long a good
// time is that makes up for all crashes before. As in Cloud Foundry's Diego.
const (
	goodTime   = 5 * time.Minute
	reviveBase = time.Second
	reviveMost = 5 * time.Minute
)

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

// lives counts the crashes of what is seen, and forgets those of containers
// that have run well for long enough.
func (s *histories) lives(organizationID string, seen berth.Observed) map[string]plan.Life {
	out := make(map[string]plan.Life, len(seen.Instances))
	s.update(organizationID, func(it *history) {
		for _, c := range seen.Instances {
			l := it.lives[c.ID]
			if l == nil {
				// What it went through before it was first seen is not held
				// against it.
				l = &life{restarts: c.Restarts, started: c.StartedAt, since: time.Now()}
				if c.State == berth.InstanceExited {
					l.ended = c.StartedAt
				}
				it.lives[c.ID] = l
			}
			// A tenant that is well is not looked at for long: a good time may
			// show only once it is over.
			if time.Since(l.since) >= goodTime && l.dead == "" && (c.State == berth.InstanceRunning || !l.started.Equal(c.StartedAt)) {
				l.crashes = 0
			}
			if c.Restarts > l.restarts {
				l.crashes += c.Restarts - l.restarts
			}
			if c.Unattended && c.State == berth.InstanceExited && !l.ended.Equal(c.StartedAt) {
				l.crashes++
				l.ended = c.StartedAt
			}
			if c.State != berth.InstanceRunning && c.ExitCode != 0 {
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
			out[c.ID] = plan.Life{Crashes: l.crashes, Exit: l.exit, Dead: dead}
		}
	})
	return out
}

// died notes that a container gives no sign of life.
func (s *histories) died(organizationID string, c berth.Instance, cause string) {
	s.update(organizationID, func(it *history) {
		if l := it.lives[c.ID]; l != nil && l.dead == "" {
			l.dead = cause
			l.due = time.Now().Add(min(reviveBase<<min(l.crashes, 10), reviveMost) - reviveBase)
		}
	})
}

// revived notes that a container was restarted for want of a sign of life.
func (s *histories) revived(organizationID, containerID string) {
	s.update(organizationID, func(it *history) {
		if l := it.lives[containerID]; l != nil {
			l.crashes++
			l.dead, l.ended = "", l.started // what it does to the container is no crash besides
		}
	})
}

// pardon forgets all crashes: an order may have mended their cause.
func (s *histories) pardon(organizationID string) {
	s.update(organizationID, func(it *history) { clear(it.lives) })
}

// oom reports whether a kill for want of memory is news: one a minute is told.
func (s *histories) oom(organizationID string) (news bool) {
	s.update(organizationID, func(it *history) {
		if news = time.Since(it.oomAt) >= time.Minute; news {
			it.oomAt = time.Now()
		}
	})
	return news
}

// revive restarts a container that gives no sign of life.
func (p *pass) revive(ctx context.Context, s plan.Step) error {
	p.histories.revived(p.Tenant.OrganizationID, s.Container)
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

// stop stops one container and leaves it down.
func (p *pass) stop(ctx context.Context, s plan.Step) error {
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
