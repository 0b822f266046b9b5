package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
)

// Effect is the situation after a step that succeeded. It is pure, and what it
// gives shares nothing with what it was given that the next step changes. So a
// plan can be followed to its end before anything of it is done; Forecast does.
func Effect(s Situation, step Step) Situation {
	switch step.Kind {
	case StepBegin:
		d := *s.Deployment
		d.StartedAt = d.CreatedAt.Add(1)
		s.Deployment, s.Histories = &d, nil
	case StepResolve:
		s.Available = true
	case StepRoute:
		s.Holding, s.Drained = step.Route == berth.RouteHolding, false
		if step.Route == berth.RouteServing {
			s.Proven = proved(s, step.Upstreams)
		}
		if step.Arrives {
			s.Arrived = max(s.Arrived, 1)
		}
	case StepDrain:
		s.Drained = true
	case StepAdopt:
		s.Adopted, s.Seen.Foreign = true, nil
	case StepHalt:
		s.Seen, s.Restarted = Applied(s.Seen, step.Stack), true
	case StepApply:
		s.Seen, s.Restarted = Applied(s.Seen, step.Stack), step.Stack.Run
		s.Applied, s.Drained, s.Probe = Shape(step.Stack), false, nil
		s.Named = !slices.ContainsFunc(step.Stack.Services, berth.Service.Hidden)
	case StepRelease:
		s.Tenant.Released = s.Tenant.Spec.Release
		s.Stack.Services = slices.Clone(s.Stack.Services)
		for i := range s.Stack.Services {
			s.Stack.Services[i].Done = s.Stack.Services[i].Once
		}
	case StepProbe:
		s.Probe, s.Relapses = &berth.Probe{Status: berth.ProbeHealthy}, 0
	case StepRestart:
		s.Seen = changed(s.Seen, step.Instance, func(c *berth.Instance) { c.State = berth.InstanceRunning })
		s.Histories = maps.Clone(s.Histories)
		delete(s.Histories, step.Instance)
	case StepStop:
		s.Seen = changed(s.Seen, step.Instance, stopped)
	case StepRemove:
		s.Seen = berth.Observed{OrganizationID: s.Seen.OrganizationID, Volumes: s.Seen.Volumes}
		if s.Deployment != nil && s.Deployment.Volumes == berth.VolumesDelete {
			s.Seen.Volumes = nil
		}
	case StepRecord:
		if s.Succeeds(step) {
			s.Deployment = nil
		}
		s.Tenant.Status, s.Tenant.Health, s.Tenant.Cause = step.Status, step.Health, step.Reason
	case StepBury:
		s.Deployment = nil
	case StepFail:
		s.Tenant.Cause, s.Deployment = step.Reason, nil
	case StepMark:
		s.Tenant.Cause = step.Reason
	case StepCrash:
		s.Histories = maps.Clone(s.Histories)
		l := s.Histories[step.Instance]
		l.Untold = 0
		s.Histories[step.Instance] = l
	}
	return s
}

// Later is the situation in which the next pass finds what this one left, once
// what it waits for has come: what was started is well, what runs once has run,
// and a new version was observed for long enough.
func Later(s Situation) Situation {
	s.Applied, s.Named, s.Drained, s.Failure = "", false, false, nil
	if s.Probe != nil && s.Probe.Status == berth.ProbeHealthy {
		s.Well = max(s.Well, s.Observe)
	}
	s.Probe = nil
	s.Histories = maps.Clone(s.Histories)
	if s.Histories == nil {
		s.Histories = map[string]InstanceHistory{}
	}
	s.Seen.Instances = slices.Clone(s.Seen.Instances)
	for i := range s.Seen.Instances {
		c := &s.Seen.Instances[i]
		if c.State != berth.InstanceRunning {
			continue
		}
		if endsByItself(s.Stack, c.Service) {
			stopped(c)
			continue
		}
		if c.Health != berth.InstanceUnchecked || needsHealth(s.Stack, c.Service) {
			c.Health = berth.InstanceHealthy
		}
		l := s.Histories[c.ID]
		l.Up = max(l.Up, s.Observe)
		s.Histories[c.ID] = l
	}
	return s
}

// needsHealth reports whether some service waits until this one is healthy: then
// its image brings a check of its own.
func needsHealth(stack berth.Stack, service string) bool {
	return slices.ContainsFunc(stack.Services, func(svc berth.Service) bool {
		return slices.Contains(svc.DependsOn, berth.Dependency{Service: service, Condition: berth.ConditionHealthy})
	})
}

// proved are the instances that were found well, with those at these addresses.
func proved(s Situation, upstreams []netip.AddrPort) map[string]bool {
	proven := maps.Clone(s.Proven)
	if proven == nil {
		proven = map[string]bool{}
	}
	for _, c := range s.Seen.Instances {
		if slices.Contains(upstreams, c.Address) {
			proven[c.ID] = true
		}
	}
	return proven
}

// Applied is what an engine shows after it was made to hold a stack, as its seam
// promises: what the stack does not call for is gone, unless it may stand beside;
// what it calls for stays or is made, beside what has its place.
func Applied(seen berth.Observed, stack berth.Stack) berth.Observed {
	kept, extra := stack.Pair(seen.Instances)
	next := berth.Observed{OrganizationID: stack.OrganizationID, Network: true, Subnet: stack.Subnet, Foreign: seen.Foreign}
	if seen.Network {
		next.Subnet = seen.Subnet
	}
	inPlace := map[berth.Slot]bool{}
	for _, c := range extra {
		if stack.MayStand(c) {
			next.Instances = append(next.Instances, c)
			inPlace[c.Slot()] = inPlace[c.Slot()] || !c.Beside
		}
	}
	next.Volumes = slices.Clone(seen.Volumes)
	for _, want := range stack.Instances() {
		c, there := kept[want.Slot]
		if !there {
			c = made(stack, want)
		}
		if c.Beside || !there {
			c.Beside = inPlace[want.Slot]
		}
		c.CPU, c.MemoryMB, c.Differs = want.Service.Limits.CPU, want.Service.Limits.MemoryMB, nil
		switch {
		case !stack.Run && IsUp(c):
			stopped(&c)
		case stack.Run && c.State != berth.InstanceRunning && !(want.Service.Once && c.State == berth.InstanceExited):
			started(&c, stack, want)
		}
		next.Instances = append(next.Instances, c)
		for _, m := range want.Service.Mounts {
			if !slices.Contains(next.Volumes, m.Volume) {
				next.Volumes = append(next.Volumes, m.Volume)
			}
		}
	}
	slices.Sort(next.Volumes)
	slices.SortStableFunc(next.Instances, func(a, b berth.Instance) int { return strings.Compare(a.Name, b.Name) })
	return next
}

// made is an instance that an engine would make. Its id and name are none of an
// engine's.
func made(stack berth.Stack, want berth.InstanceSpec) berth.Instance {
	name := fmt.Sprintf("%s of generation %d", want.Slot, stack.Generation)
	c := berth.Instance{
		ID: name + " " + want.Hash, Name: name, Service: want.Service.Name, Replica: want.Replica, Generation: stack.Generation,
		Hash: want.Hash, Image: want.Service.Image, State: berth.InstanceCreated, Unattended: len(want.Service.Secrets) > 0,
		StopGrace: time.Duration(want.Service.StopGrace) * time.Second,
	}
	for _, m := range want.Service.Mounts {
		if !m.ReadOnly {
			c.Writes = append(c.Writes, m.Volume)
		}
	}
	slices.Sort(c.Writes)
	return c
}

func stopped(c *berth.Instance) {
	c.State, c.ExitCode, c.Address, c.Health = berth.InstanceExited, 0, netip.AddrPort{}, berth.InstanceUnchecked
}

// started lets an instance run. Its address is only unlike all others.
func started(c *berth.Instance, stack berth.Stack, want berth.InstanceSpec) {
	c.State, c.ExitCode, c.OOMKilled = berth.InstanceRunning, 0, false
	if want.Service.HealthProbe != nil {
		c.Health = berth.InstanceStarting
	}
	if want.Service.Main {
		c.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{0, byte(stack.Generation >> 8), byte(stack.Generation), byte(want.Replica)}), uint16(want.Service.Port))
	}
}

// changed is what is seen with one instance changed.
func changed(seen berth.Observed, id string, change func(*berth.Instance)) berth.Observed {
	seen.Instances = slices.Clone(seen.Instances)
	for i := range seen.Instances {
		if seen.Instances[i].ID == id {
			change(&seen.Instances[i])
		}
	}
	return seen
}
