package plan

import (
	"fmt"
	"slices"

	"github.com/unite-hub/berth"
)

// deferWaiting defers the services of a stack that have to be started and wait for
// another one. What runs as it should is not looked at again: that a database
// is unwell for a moment stops nothing that was started before. waits says what
// the first deferred service waits for, "" if none is.
func deferWaiting(stack berth.Stack, seen berth.Observed) (_ berth.Stack, waits string) {
	if !stack.Run {
		return stack, ""
	}
	stack.Services = slices.Clone(stack.Services)
	instances, _ := stack.Pair(seen.Instances)
	deferred := map[string]bool{}
	for i := range stack.Services { // each comes after those that it depends on
		svc := &stack.Services[i]
		if svc.Done || len(svc.DependsOn) == 0 || asWanted(stack, svc.Name, instances) {
			continue
		}
		for _, d := range svc.DependsOn {
			why := unmet(stack, d, instances, deferred)
			if why == "" {
				continue
			}
			deferred[svc.Name] = true
			if waits == "" {
				waits = fmt.Sprintf("service %s waits until %s", svc.Name, why)
			}
		}
	}
	for i := range stack.Services {
		stack.Services[i].Deferred = deferred[stack.Services[i].Name]
	}
	return stack, waits
}

// of returns the instances that a stack calls for of one service.
func of(stack berth.Stack, service string) []berth.InstanceSpec {
	return slices.DeleteFunc(stack.Instances(), func(c berth.InstanceSpec) bool { return c.Service.Name != service })
}

// asWanted reports whether all instances of a service are there and run, or
// ran to their end.
func asWanted(stack berth.Stack, service string, seen map[berth.Slot]berth.Instance) bool {
	for _, want := range of(stack, service) {
		c, ok := seen[want.Slot]
		if instanceDifference(want, c, ok, true) != "" {
			return false
		}
	}
	return true
}

// unmet says what is missing before a service that depends on another may
// start, "" if nothing is.
func unmet(stack berth.Stack, d berth.Dependency, seen map[berth.Slot]berth.Instance, deferred map[string]bool) string {
	if deferred[d.Service] {
		return d.Service + " is started"
	}
	for _, want := range of(stack, d.Service) { // none if it is done
		c, ours := seen[want.Slot]
		switch {
		case d.Condition == berth.ConditionHealthy && !(ours && c.State == berth.InstanceRunning && c.Health == berth.InstanceHealthy):
			return d.Service + " is healthy" + inBrackets(c.HealthCause)
		case d.Condition == berth.ConditionCompleted && !(ours && completed(c)):
			return d.Service + " has completed"
		}
	}
	return ""
}

func inBrackets(cause string) string {
	if cause == "" {
		return ""
	}
	return " (" + cause + ")"
}

func completed(c berth.Instance) bool { return c.State == berth.InstanceExited && c.ExitCode == 0 }

// onceOutcome looks at the services that run once per release. done is set if
// there are any that are not recorded as done and all of them ended well;
// failure says which one did not.
func onceOutcome(stack berth.Stack, seen berth.Observed) (done bool, failure string) {
	instances, _ := stack.Pair(seen.Instances)
	done = true
	any := false
	for _, want := range stack.Instances() {
		if !want.Service.Once {
			continue
		}
		any = true
		c, ok := instances[want.Slot]
		if ok && completed(c) {
			continue
		}
		done = false
		if ok && c.State == berth.InstanceExited {
			return false, ended(want.Service.Name, c)
		}
	}
	return any && done, ""
}

// unended says which service that runs once per release still does so, "" if
// none does. Nothing may depend on it: the release is not out before it ended.
func unended(stack berth.Stack, seen berth.Observed) string {
	if !stack.Run {
		return ""
	}
	instances, _ := stack.Pair(seen.Instances)
	for _, want := range stack.Instances() {
		if c, ok := instances[want.Slot]; ok && want.Service.Once && IsUp(c) {
			return "service " + want.Service.Name + " has not ended yet"
		}
	}
	return ""
}

func ended(service string, c berth.Instance) string {
	if c.OOMKilled {
		return fmt.Sprintf("service %s, which runs once before the rest, was killed for using more than its %d MB of memory", service, c.MemoryMB)
	}
	return fmt.Sprintf("service %s, which runs once before the rest, ended with exit code %d; read its logs", service, c.ExitCode)
}
