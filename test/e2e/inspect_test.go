package e2e_test

import (
	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// inspect is the Engine's word on the container that answers a tenant's
// requests.
func (s *site) inspect(org string) container.InspectResponse {
	s.Helper()
	seen, err := s.engine.ContainerInspect(s.ctx, berth.ContainerName(org), dockerclient.ContainerInspectOptions{})
	s.must(err)
	return seen.Container
}

// containers are all that the Engine has of a tenant.
func (s *site) containers(org string) []container.Summary {
	s.Helper()
	list, err := s.engine.ContainerList(s.ctx, dockerclient.ContainerListOptions{
		All: true, Filters: make(dockerclient.Filters).Add("label", berth.LabelTenantID+"="+org),
	})
	s.must(err)
	return list.Items
}
