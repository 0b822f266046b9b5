package reconcile

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/plan"
	"github.com/unite-hub/berth/internal/store"
)

// do carries out one step and brings the situation up to date. What takes time
// is remembered as a step of the deployment, and recorded with its next change.
func (p *pass) do(ctx context.Context, s plan.Step) error {
	began := store.Now()
	err := p.take(ctx, s)
	if name := s.Name(); name != "" && p.Deployment != nil && (s.Kind != plan.StepRoute || p.moved) {
		done := berth.DeploymentStep{Name: name, StartedAt: began, EndedAt: store.Now()}
		if err != nil {
			done.Error = err.Error()
		}
		p.deployments.update(p.Deployment, func(r *deploymentProgress) { r.steps = berth.AddStep(r.steps, done) })
	}
	return err
}

func (p *pass) take(ctx context.Context, s plan.Step) error {
	switch s.Kind {
	case plan.StepBegin:
		return p.begin(ctx)
	case plan.StepResolve:
		return p.resolve(ctx)
	case plan.StepDrift:
		return p.drift(ctx, s.Reason)
	case plan.StepRoute:
		return p.route(ctx, s)
	case plan.StepDrain:
		p.drain()
		return p.soft.Err()
	case plan.StepHalt:
		return p.halt(ctx, s.Stack)
	case plan.StepAdopt:
		return p.adopt(ctx)
	case plan.StepApply:
		return p.apply(ctx, s.Stack, false)
	case plan.StepRelease:
		return p.release(ctx)
	case plan.StepProbe:
		p.probe()
		if p.soft.Err() == nil && p.Deployment != nil && p.Probe != nil && p.Probe.Status == berth.ProbeTimeout {
			return p.observe(ctx) // what gave no answer for so long may have died meanwhile
		}
		return p.soft.Err()
	case plan.StepRestart:
		return p.restartInstance(ctx, s)
	case plan.StepStop:
		return p.stop(ctx, s)
	case plan.StepRecord:
		return p.recordSeen(ctx, s)
	case plan.StepFail:
		return p.fail(ctx, s.Reason)
	case plan.StepMark:
		return p.mark(ctx, s)
	case plan.StepCrash:
		return p.tellCrash(ctx, s)
	case plan.StepRemove:
		return p.remove(ctx)
	case plan.StepBury:
		return p.bury(ctx)
	default:
		return berth.Errorf(berth.CodeInternal, "unknown step %q", s.Kind)
	}
}

// unresolved reports whether some image that a spec needs is not pinned.
func unresolved(spec berth.Spec, b Blueprint) bool {
	if spec.ImageDigest == "" {
		return true
	}
	for service := range b.Images() {
		if spec.Images[service] == "" {
			return true
		}
	}
	return false
}

// resolve pins the images and records the pins, so that every later generation
// that means these images gets exactly them. An image that was pinned before is
// seen to be there still, before anything is changed on its account.
func (p *pass) resolve(ctx context.Context) error {
	spec := p.Tenant.Spec
	p.progress("image")
	main, err := p.blueprint.Image(spec.ImageTag)
	if err != nil {
		return err
	}
	if spec.ImageDigest, err = p.pin(ctx, main, spec.ImageDigest); err != nil {
		return err
	}
	others := p.blueprint.Images()
	pins := make(map[string]string, len(others))
	for _, service := range slices.Sorted(maps.Keys(others)) {
		if pins[service], err = p.pin(ctx, others[service], spec.Images[service]); err != nil {
			return err
		}
	}
	p.deployments.update(p.Deployment, func(r *deploymentProgress) { r.available = true })
	if spec.ImageDigest == p.Tenant.Spec.ImageDigest && maps.Equal(pins, p.Tenant.Spec.Images) {
		return nil
	}
	return p.commit(ctx, func(_ store.Tx, t *berth.Tenant, d *berth.Deployment) error {
		t.Spec.ImageDigest, t.Spec.Images = spec.ImageDigest, pins
		if d != nil {
			d.New.ImageDigest, d.New.Images = spec.ImageDigest, pins
		}
		return nil
	})
}

// pin makes an image available, the one that is pinned if one is, and returns
// what it is pinned by.
func (p *pass) pin(ctx context.Context, reference, pinned string) (pin string, err error) {
	if pinned != "" {
		reference = pinned
	}
	cred, err := p.credential(ctx, reference)
	if err != nil {
		return "", err
	}
	pin, pulled, err := p.available(reference, cred)
	if err != nil || !pulled {
		return pin, err
	}
	info, _ := p.breaker.get()
	return pin, p.Store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		return tx.PutImage(ctx, berth.PulledImage{EngineID: info.ID, Pin: pin, Reference: reference, PulledAt: store.Now()})
	})
}

// credential finds what opens the registry that a reference names.
func (p *pass) credential(ctx context.Context, reference string) (*berth.Credential, error) {
	host, _, ok := strings.Cut(reference, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host = "docker.io"
	}
	var found store.StoredCredential
	err := p.Store.View(ctx, berth.System(), func(tx store.Tx) error {
		var err error
		found, ok, err = tx.Credential(ctx, host)
		return err
	})
	if err != nil || !ok {
		return nil, err
	}
	password, err := p.Secrets.Open(found.Ciphertext, berth.RegistryContext(found.Registry))
	if err != nil {
		return nil, err
	}
	return &berth.Credential{Registry: host, Username: found.Username, Password: string(password)}, nil
}

// route tells the edge where the tenant's requests go. What they are led to
// was found well. A port that someone else has taken is the tenant's trouble,
// not its deployment's.
func (p *pass) route(ctx context.Context, s plan.Step) error {
	org := p.Tenant.OrganizationID
	r := berth.Route{
		OrganizationID: org, Name: p.Tenant.Name, Port: p.Tenant.ExternalPort,
		State: s.Route, Generation: p.Tenant.Generation, Subnet: p.Tenant.Subnet, Upstreams: s.Upstreams,
	}
	if s.Route == berth.RouteServing {
		p.histories.prove(org, p.at(s.Upstreams))
	}
	p.Holding = s.Route == berth.RouteHolding
	p.Drained = false
	moved, err := p.routes.put(r)
	p.moved = moved
	if s.Arrives {
		p.deployments.update(p.Deployment, func(r *deploymentProgress) {
			if r.arrived.IsZero() {
				r.arrived = time.Now()
			}
		})
	}
	if err == nil || strings.Contains(p.Tenant.Cause, err.Error()) {
		return nil
	}
	return p.journal(ctx, berth.EventPort, err.Error())
}

// unhold ends the waiting of requests while the engine is away: what served
// them before does so again, if it answers. Whether it was stopped by then,
// nobody else can tell.
func (p *pass) unhold(ctx context.Context) error {
	long, before, held := p.routes.held(p.Tenant.OrganizationID)
	if !held || long < p.Loop.Patience || p.blueprint == nil {
		return nil
	}
	check := p.blueprint.Defaults().Health
	up := slices.DeleteFunc(before, func(addr netip.AddrPort) bool {
		pr, _ := check.Ask(berth.Instance{Address: addr}, time.Now(), func(at netip.AddrPort) berth.Probe { return p.Prober.Probe(p.soft, at, check) })
		return pr.Status != berth.ProbeHealthy // what the engine said of it is not known
	})
	if len(up) == 0 {
		return p.route(ctx, plan.Step{Kind: plan.StepRoute, Route: berth.RouteStarting})
	}
	return p.route(ctx, plan.Step{Kind: plan.StepRoute, Route: berth.RouteServing, Upstreams: up})
}

// at returns the instances behind addresses.
func (p *pass) at(upstreams []netip.AddrPort) []berth.Instance {
	return slices.DeleteFunc(slices.Clone(p.Seen.Instances), func(c berth.Instance) bool { return !slices.Contains(upstreams, c.Address) })
}

// drain waits for the requests that are where the route does not lead any
// more, up to a deadline, and goes on asking those it leads to: if they get
// sick while the generation before them is still there, it can take over again.
// It ends early when the tenant is rung.
func (p *pass) drain() {
	limit := p.Loop.TransitionDrain
	if p.Holding {
		limit = p.HoldDrain
	}
	p.progress("drain")
	ctx, cancel := context.WithTimeout(p.soft, limit)
	defer cancel()
	for ctx.Err() == nil {
		round, end := context.WithTimeout(ctx, plan.ProbePause)
		left := p.Edge.Drain(round, p.Tenant.OrganizationID)
		end()
		if left == 0 {
			break
		}
		if !p.Holding && p.Deployment != nil {
			p.note(p.askAll())
			if p.Relapses >= plan.MaxRelapses {
				return
			}
		}
	}
	p.Drained = p.soft.Err() == nil
}

// halt stops the instances for a restart.
func (p *pass) halt(ctx context.Context, stack berth.Stack) error {
	p.progress("stop")
	return p.call(ctx, p.lanes.end, p.changeDeadline(), func(ctx context.Context) error {
		began := time.Now()
		seen, err := p.Engine.Apply(ctx, stack)
		if err == nil {
			p.changed(seen, began)
			p.histories.stopped(p.Tenant.OrganizationID, seen)
			// What crashed until now is told, but is none of the restart's.
			p.histories.ofInstances(p.Tenant.OrganizationID, seen, func(berth.Instance) bool { return false })
			p.histories.forgetCrashes(p.Tenant.OrganizationID)
			p.deployments.update(p.Deployment, func(r *deploymentProgress) { r.restarted = true })
		}
		return err
	})
}

// apply makes the engine hold the stack. The engine that does it is recorded
// first: from then on the tenant's data may lie there. again tells that images
// which were missing were pulled already.
func (p *pass) apply(ctx context.Context, stack berth.Stack, again bool) error {
	lane := p.lanes.start
	if !stack.Run {
		lane = p.lanes.end
	}
	p.progress("apply")
	missing := false
	err := p.call(ctx, lane, p.changeDeadline(), func(ctx context.Context) error {
		began := time.Now()
		seen, err := p.Engine.Apply(ctx, stack)
		if berth.Is(err, berth.CodeImageNotFound) {
			missing = true
		}
		if err == nil {
			p.changed(seen, began)
			if !stack.Run {
				p.histories.stopped(p.Tenant.OrganizationID, seen)
			}
			p.Applied, p.Drained, p.Probe = plan.Shape(stack), false, nil
			p.Named = !slices.ContainsFunc(stack.Services, berth.Service.Hidden)
		}
		return err
	})
	if missing && !again {
		// Someone pruned an image that only a registry has now.
		if err := p.resolve(ctx); err != nil {
			return err
		}
		return p.apply(ctx, stack, true)
	}
	if err != nil {
		return err
	}
	p.deployments.impatient(p.Deployment)
	p.deployments.update(p.Deployment, func(r *deploymentProgress) { r.restarted = stack.Run })
	return p.render()
}

// progress tells who asks how far the deployment has come.
func (p *pass) progress(step string) {
	p.deployments.update(p.Deployment, func(r *deploymentProgress) { r.progress = berth.Progress{Step: step} })
}

// render keeps the tenant's compose file up to date.
func (p *pass) render() error {
	info, _ := p.breaker.get()
	data, err := p.blueprint.Compose(p.Tenant, info.Cores)
	if err != nil {
		return err
	}
	return p.Files.Write(p.Tenant.OrganizationID, data)
}

// adopt takes back what compose made of the rendered file, and the secrets
// that were written beside it.
func (p *pass) adopt(ctx context.Context) error {
	adopter, ok := p.Engine.(Adopter)
	if !ok {
		return berth.Errorf(berth.CodeEngineRefused, "This engine can't adopt a tenant").
			WithHint("remove what compose made with compose itself, then start the tenant")
	}
	a := berth.Adoption{OrganizationID: p.Tenant.OrganizationID, Project: p.Tenant.ContainerName()}
	for _, v := range p.volumes {
		a.Volumes = append(a.Volumes, v.Name)
	}
	if err := p.call(ctx, p.lanes.end, p.changeDeadline(), func(ctx context.Context) error { return adopter.Adopt(ctx, a) }); err != nil {
		return err
	}
	if err := p.Files.Forget(p.Tenant.OrganizationID); err != nil {
		return err
	}
	p.Adopted = true
	p.deployments.update(p.Deployment, func(r *deploymentProgress) { r.adopted = true })
	return p.observe(ctx)
}

// release records that the services that run once per release did so. From
// then on their instances may be anything.
func (p *pass) release(ctx context.Context) error {
	err := p.commit(ctx, func(_ store.Tx, t *berth.Tenant, _ *berth.Deployment) error {
		t.Released = t.Spec.Release
		return nil
	})
	p.Stack = berth.Stack{} // to be made anew, without them
	return err
}

const (
	probeFirst = 2 * time.Millisecond
	probeMost  = 10 * time.Millisecond
)

// probe asks every instance that is to take requests in quick succession until
// all are well or the round is over; a tenant in which nothing changed is asked
// once. It ends early when the tenant is rung.
func (p *pass) probe() {
	p.deployments.impatient(p.Deployment) // after a crash nothing may need to be applied
	p.progress("health check")
	round, cancel := context.WithTimeout(p.soft, p.ProbeRound)
	defer cancel()
	for pause := probeFirst; ; pause = min(pause*2, probeMost) {
		p.Probe = p.askAll()
		if p.Probe != nil && p.Probe.Status == berth.ProbeHealthy || p.Deployment == nil && p.Applied == "" || p.Well > 0 {
			break
		}
		select {
		case <-round.Done():
		case <-time.After(pause):
			continue
		}
		break
	}
	p.note(p.Probe)
}

// askAll asks every instance that is to take requests, and returns the worst
// answer; nil if there is none to ask.
func (p *pass) askAll() (worst *berth.Probe) {
	for _, c := range plan.Asked(p.Situation) {
		pr := p.ask(c)
		if p.Deployment == nil && pr.Status == berth.ProbeHealthy {
			p.histories.prove(p.Tenant.OrganizationID, []berth.Instance{c}) // whatever the others do
		}
		if worst == nil || pr.Status != berth.ProbeHealthy {
			worst = &pr
		}
	}
	return worst
}

// note keeps count of how long all have been well, for the deployment.
func (p *pass) note(pr *berth.Probe) {
	well := pr != nil && pr.Status == berth.ProbeHealthy
	p.Probe = pr
	p.deployments.update(p.Deployment, func(r *deploymentProgress) {
		switch {
		case well && r.well.IsZero():
			r.well, r.wasWell, r.relapses = time.Now(), true, 0
		case well:
			r.relapses = 0
		case r.wasWell: // it has to be well for as long again
			r.well = time.Time{}
			r.relapses++
			p.Relapses = r.relapses
		}
	})
}

func (p *pass) ask(c berth.Instance) berth.Probe {
	check := p.blueprint.Defaults().Health
	if d := p.Deployment; d != nil { // which ends at its deadline, whoever hangs
		left := p.Loop.Patience - p.deployments.recall(d).waited(p.Loop.Observe)
		check.Timeout = min(check.Timeout, max(left, time.Second))
	}
	pr, ok := check.Ask(c, time.Now(), func(addr netip.AddrPort) berth.Probe { return p.Prober.Probe(p.soft, addr, check) })
	if !ok {
		pr.Status, pr.Cause = berth.ProbeUnhealthy, "the engine's health check has not ended yet"
	}
	pr.OrganizationID = p.Tenant.OrganizationID
	return pr
}

// remove takes the tenant out of the engine: instances, network, and the
// volumes if the order says so.
func (p *pass) remove(ctx context.Context) error {
	p.progress("remove")
	p.routes.drop(p.Tenant.OrganizationID)
	deadline, err := p.removalDeadline(ctx)
	if err != nil {
		return err
	}
	p.leave(p.Tenant.OrganizationID)
	p.histories.forget(p.Tenant.OrganizationID)
	r := berth.Removal{OrganizationID: p.Tenant.OrganizationID}
	if p.deletesVolumes() {
		r.Unnamed = true
		for _, v := range p.made() {
			r.Volumes = append(r.Volumes, v.Name)
		}
	}
	if err := p.call(ctx, p.lanes.end, deadline, func(ctx context.Context) error { return p.Engine.Remove(ctx, r) }); err != nil {
		return err
	}
	return p.Files.Remove(p.Tenant.OrganizationID)
}
