package docker

import (
	"context"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// limit puts changed limits in force on the containers that were kept.
func (a *application) limit(ctx context.Context) error {
	g := bounded()
	for _, spec := range a.specs {
		if _, ok := a.kept[spec.Name]; !ok {
			continue
		}
		g.Go(func() error {
			now, err := a.inspect(ctx, a.stack.OrganizationID, a.ids[spec.Name])
			if err != nil {
				return err
			}
			if err := a.restore(ctx, spec, now); err != nil {
				return err
			}
			if !a.adrift[spec.Name] {
				a.remember(spec.Name, now)
			}
			return nil
		})
	}
	return g.Wait()
}

// restore puts back on a living container what can be changed there.
func (a *application) restore(ctx context.Context, spec instance, now container.InspectResponse) error {
	if h := now.HostConfig; h != nil {
		want := resources(spec.Service.Limits, a.facts.info.Cores)
		pids, policy := spec.Service.PidsLimit, restartPolicy(spec.Service)
		want.PidsLimit = &pids
		if h.PidsLimit == nil || *h.PidsLimit != pids || h.RestartPolicy.Name != policy ||
			h.Memory != want.Memory || h.MemorySwap != want.MemorySwap || h.NanoCPUs != want.NanoCPUs {
			if err := a.update(ctx, spec, want, policy); err != nil {
				return err
			}
			h.Memory, h.MemorySwap, h.NanoCPUs, h.PidsLimit, h.RestartPolicy.Name = want.Memory, want.MemorySwap, want.NanoCPUs, &pids, policy
		}
	}
	return a.separate(ctx, spec, now)
}

func (a *application) update(ctx context.Context, spec instance, want container.Resources, policy container.RestartPolicyMode) error {
	s := step{"change limits of container " + spec.Name, a.stack.OrganizationID}
	err := a.do(ctx, s, a.ChangeTimeout, func(ctx context.Context) error {
		// Memory and swap go together: the Engine refuses a memory limit
		// above the swap limit in force.
		_, err := a.api.ContainerUpdate(ctx, a.ids[spec.Name], client.ContainerUpdateOptions{Resources: &want, RestartPolicy: &container.RestartPolicy{Name: policy}})
		return err
	})
	if berth.Is(err, berth.CodeEngineRefused) && a.facts.groupless {
		return berth.Errorf(berth.CodeEngineRefused, "This Engine has no cgroups, and so no limits to change: %w", err).
			WithHint("what berth doctor says of cgroups mends it; until then no tenant is held to its limits").WithOp(s.op, s.tenant)
	}
	if berth.Is(err, berth.CodeEngineRefused) {
		return berth.Errorf(berth.CodeEngineRefused, "The limits of service %s can't be changed: %w", spec.Service.Name, err).
			WithHint("the kernel takes no memory limit below what is in use: choose a higher one, or restart the tenant first").WithOp(s.op, s.tenant)
	}
	return err
}
