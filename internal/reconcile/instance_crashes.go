package reconcile

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
)

// When crashes are counted, reported and followed by a restart. The pauses between
// restarts, and the good time that clears the count, are Cloud Foundry Diego's.
const (
	tellPause   = time.Minute      // between two events about one service's crashes
	exitWait    = 2 * time.Second  // for the engine's event that tells an exit code
	oomWait     = 10 * time.Second // between a kill for want of memory and the end that it caused
	lineWait    = 10 * time.Second // for what an instance wrote last: it soon goes with the instance
	lineTries   = 3
	lastLines   = 5
	goodTime    = 5 * time.Minute // of running without a crash, after which all crashes before are forgotten
	restartBase = time.Second     // pauses before restarting an instance without a sign of life: 0, 1 s, 3 s, 7 s …
	restartMost = 5 * time.Minute // bounds these pauses
)

// instanceHistory is what the loop remembers of one instance's crashes. Restarts by the
// engine and by us count alike, and so does an engine's putting another instance
// in its place: that one inherits it.
type instanceHistory struct {
	slot     berth.Slot
	hash     string
	replaced bool      // it ended, and the engine put another one in its place since the last look
	restarts int       // as the engine last showed
	started  time.Time // the same
	since    time.Time // when it was first seen with that start
	ended    time.Time // start of the last run that was seen to end without the engine's starting it again
	crashes  int       // since the last good time
	last     *plan.End // how the latest crash ended; nil while that was not seen
	asked    bool      // for what it wrote last
	untold   int       // crashes that were not told yet
	noticed  time.Time // when the first of these was
	dead     string    // why it is to be restarted; "" if it is not
	due      time.Time // when it may be restarted at the soonest
}

// ending is what events told of how an instance ended.
type ending struct {
	last *plan.End // nil while none told
	oom  time.Time // when the kernel last killed one of its processes, since then
}

// ofInstances counts the crashes of what is seen, and forgets those of instances
// that have run well for long enough. What an instance went through before it
// was first seen is not held against it, unless it was started for what goes on (sinceStart).
func (s *histories) ofInstances(organizationID string, seen berth.Observed, sinceStart func(berth.Instance) bool) map[string]plan.InstanceHistory {
	out := make(map[string]plan.InstanceHistory, len(seen.Instances))
	s.update(organizationID, func(it *tenantHistory) {
		for _, c := range seen.Instances {
			l, known := it.instances.get(c.ID)
			if !known {
				l = firstSeen(c, sinceStart(c))
				it.instances.put(c.ID, l)
			}
			l.see(c)
			if end := it.ends[c.ID]; end.last != nil && l.last == nil && l.untold > 0 {
				l.last = end.last
				delete(it.ends, c.ID)
			}
			h := plan.InstanceHistory{Crashes: l.crashes, Last: l.last, Untold: l.untold}
			if c.State == berth.InstanceRunning {
				h.Up = time.Since(l.since)
			}
			if !time.Now().Before(l.due) {
				h.Dead = l.dead
			}
			if l.untold > 0 {
				h.TellIn = max(time.Until(it.toldAt[c.Service].Add(tellPause)), 0)
				if l.last == nil {
					h.TellIn = max(h.TellIn, time.Until(l.noticed.Add(exitWait)))
				}
			}
			out[c.ID] = h
		}
	})
	return out
}

func firstSeen(c berth.Instance, sinceStart bool) *instanceHistory {
	l := &instanceHistory{slot: c.Slot(), hash: c.Hash, started: c.StartedAt, since: time.Now()}
	if !sinceStart {
		l.restarts = c.Restarts
		if c.State == berth.InstanceExited {
			l.ended = c.StartedAt
		}
	}
	return l
}

// see takes in what a look showed.
func (l *instanceHistory) see(c berth.Instance) {
	// A tenant that is well is not looked at for long: a good time may show
	// only once it is over.
	if time.Since(l.since) >= goodTime && l.dead == "" && (c.State == berth.InstanceRunning || !l.started.Equal(c.StartedAt)) {
		l.crashes = 0
	}
	news := max(c.Restarts-l.restarts, 0)
	if l.replaced {
		news, l.replaced = news+1, false
	}
	if c.Unattended && c.State == berth.InstanceExited && !l.ended.Equal(c.StartedAt) {
		news++
		l.ended = c.StartedAt
	}
	if news > 0 {
		if l.untold == 0 {
			l.noticed = time.Now()
		}
		l.crashes += news
		l.untold += news
		l.last, l.asked = nil, false
	}
	if l.last == nil && l.crashes > 0 && (c.State == berth.InstanceRestarting || c.State == berth.InstanceExited) {
		l.last = &plan.End{ExitCode: c.ExitCode, OOM: c.OOMKilled}
	}
	l.restarts = c.Restarts
	if !l.started.Equal(c.StartedAt) {
		l.started, l.since = c.StartedAt, time.Now()
		l.dead, l.due = "", time.Time{} // that was said of the start before
	}
}

// hintEnd notes how an instance ended, as the engine's events tell it: the next
// look may find it running again.
func (s *histories) hintEnd(h berth.Hint) {
	s.update(h.OrganizationID, func(it *tenantHistory) {
		end := it.ends[h.InstanceID]
		if h.OOM {
			end.oom = time.Now()
		}
		if h.Ended {
			end.last = &plan.End{ExitCode: h.ExitCode, OOM: !end.oom.IsZero() && time.Since(end.oom) < oomWait}
			end.oom = time.Time{}
		}
		if it.ends == nil {
			it.ends = map[string]ending{}
		}
		it.ends[h.InstanceID] = end
	})
}

// stopped notes that instances were stopped by us: that is no crash.
func (s *histories) stopped(organizationID string, seen berth.Observed) {
	s.update(organizationID, func(it *tenantHistory) {
		for _, c := range seen.Instances {
			if l, ok := it.instances.get(c.ID); ok && c.State == berth.InstanceExited {
				l.ended = c.StartedAt
			}
		}
	})
}

// told notes that what happened to an instance until now was told.
func (s *histories) told(organizationID string, c berth.Instance) {
	s.update(organizationID, func(it *tenantHistory) {
		if l, ok := it.instances.get(c.ID); ok {
			l.untold = 0
		}
		if it.toldAt == nil {
			it.toldAt = map[string]time.Time{}
		}
		it.toldAt[c.Service] = time.Now()
	})
}

// withoutLastLines returns the instances whose last lines nobody asked for since they
// crashed, and takes them as asked.
func (s *histories) withoutLastLines(organizationID string) (ids []string) {
	s.update(organizationID, func(it *tenantHistory) {
		for _, one := range it.instances {
			if l := one.value; l.last != nil && !l.asked {
				l.asked = true
				ids = append(ids, one.key)
			}
		}
	})
	return ids
}

func (s *histories) recordLastLines(organizationID, id string, lines []string) {
	s.update(organizationID, func(it *tenantHistory) {
		if l, ok := it.instances.get(id); ok && l.last != nil {
			l.last = &plan.End{ExitCode: l.last.ExitCode, OOM: l.last.OOM, Lines: lines}
		}
	})
}

// died notes that an instance gives no sign of life.
func (s *histories) died(organizationID string, c berth.Instance, cause string) {
	s.update(organizationID, func(it *tenantHistory) {
		if l, ok := it.instances.get(c.ID); ok && l.dead == "" {
			l.dead = cause
			l.due = time.Now().Add(min(restartBase<<min(l.crashes, 10), restartMost) - restartBase)
		}
	})
}

// restarted notes that an instance was restarted for want of a sign of life.
func (s *histories) restarted(organizationID, instanceID string) {
	s.update(organizationID, func(it *tenantHistory) {
		if l, ok := it.instances.get(instanceID); ok {
			l.crashes++
			l.dead, l.ended = "", l.started // what it does to the instance is no crash besides
		}
	})
}

// forgetCrashes forgets all crashes: an order may have mended their cause.
func (s *histories) forgetCrashes(organizationID string) {
	s.update(organizationID, func(it *tenantHistory) {
		for _, one := range it.instances {
			l := one.value
			l.crashes, l.dead, l.due = 0, "", time.Time{}
		}
	})
}

// oom reports whether a kill for want of memory is news: one a minute is told.
func (s *histories) oom(organizationID string) (news bool) {
	s.update(organizationID, func(it *tenantHistory) {
		if news = time.Since(it.oomAt) >= time.Minute; news {
			it.oomAt = time.Now()
		}
	})
	return news
}

// restartInstance restarts an instance that gives no sign of life.
func (p *pass) restartInstance(ctx context.Context, s plan.Step) error {
	p.histories.restarted(p.Tenant.OrganizationID, s.Instance)
	engine, ok := p.Engine.(InstanceRestarter)
	if !ok {
		return nil
	}
	if err := p.journal(ctx, berth.EventDrift, "a container gave no sign of life and is restarted: "+s.Reason); err != nil {
		return err
	}
	err := p.call(ctx, p.lanes.end, p.changeDeadline(), func(ctx context.Context) error {
		return engine.RestartInstance(ctx, p.Tenant.OrganizationID, s.Instance)
	})
	if err != nil {
		return err
	}
	return p.observe(ctx)
}

// tellCrash records that an instance crashed, and how.
func (p *pass) tellCrash(ctx context.Context, s plan.Step) error {
	if err := p.journal(ctx, berth.EventCrashed, s.Reason); err != nil {
		return err
	}
	for _, c := range p.Seen.Instances {
		if c.ID == s.Instance {
			p.histories.told(p.Tenant.OrganizationID, c)
		}
	}
	return nil
}

// readLastLines asks what instances that crashed wrote last, and reports whether
// anything new was learned. An engine that can't say is no error: the crash is then
// reported without its last lines.
func (p *pass) readLastLines(ctx context.Context) (news bool) {
	engine, ok := p.Engine.(LastWriter)
	if !ok {
		return false
	}
	for _, id := range p.histories.withoutLastLines(p.Tenant.OrganizationID) {
		for range lineTries {
			var lines []string
			err := p.call(ctx, p.lanes.look, lineWait, func(ctx context.Context) (err error) {
				lines, err = engine.LastLines(ctx, p.Tenant.OrganizationID, id, lastLines)
				return err
			})
			if err != nil && ctx.Err() == nil {
				continue
			}
			if len(lines) > 0 {
				p.histories.recordLastLines(p.Tenant.OrganizationID, id, presentable(lines))
				news = true
			}
			break
		}
	}
	return news
}

// presentable makes what an instance wrote fit to be shown in a sentence.
func presentable(lines []string) []string {
	const longest = 200
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(line, "")))
		if r := []rune(line); len(r) > longest {
			line = string(r[:longest]) + "…"
		}
		if line != "" {
			out = append(out, line)
		}
	}
	return out
}

// stop stops one instance and leaves it down.
func (p *pass) stop(ctx context.Context, s plan.Step) error {
	engine, ok := p.Engine.(InstanceRestarter)
	if !ok {
		return nil
	}
	err := p.call(ctx, p.lanes.end, p.changeDeadline(), func(ctx context.Context) error {
		return engine.StopInstance(ctx, p.Tenant.OrganizationID, s.Instance)
	})
	if err != nil {
		return err
	}
	if err := p.observe(ctx); err != nil {
		return err
	}
	p.histories.stopped(p.Tenant.OrganizationID, p.Seen)
	return nil
}
