package docker

import (
	"context"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// RestartInstance restarts one container of a tenant's.
func (e *Engine) RestartInstance(ctx context.Context, organizationID, containerID string) error {
	s := step{"restart container", organizationID}
	c, err := e.own(ctx, s, containerID)
	if err != nil {
		return err
	}
	grace := graceOf(c)
	if c.Labels[labelSecrets] != "" { // it has to be given its secrets before it starts: the next Apply does
		return e.stop(ctx, s, c, grace)
	}
	return e.do(ctx, s, seconds(grace)+e.StopSlack+e.ChangeTimeout, func(ctx context.Context) error {
		_, err := e.api.ContainerRestart(ctx, containerID, client.ContainerRestartOptions{Timeout: &grace})
		return err
	})
}

// StopInstance stops one container of a tenant's. The Engine does not start it again.
func (e *Engine) StopInstance(ctx context.Context, organizationID, containerID string) error {
	s := step{"stop container", organizationID}
	c, err := e.own(ctx, s, containerID)
	if err != nil {
		return err
	}
	return e.stop(ctx, s, c, graceOf(c))
}

// own finds a container that is provably the tenant's.
func (e *Engine) own(ctx context.Context, s step, containerID string) (container.Summary, error) {
	h, err := e.look(ctx, s.tenant, byName)
	if err != nil {
		return container.Summary{}, err
	}
	i := slices.IndexFunc(h.containers, func(c container.Summary) bool { return c.ID == containerID })
	if i < 0 {
		return container.Summary{}, berth.Errorf(berth.CodeEngineUnavailable, "The container has gone meanwhile").
			WithHint("it is made again").WithOp(s.op, s.tenant)
	}
	return h.containers[i], nil
}
