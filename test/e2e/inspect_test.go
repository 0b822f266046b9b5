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
	seen, err := s.Engine.ContainerInspect(s.Ctx, berth.ContainerName(org), dockerclient.ContainerInspectOptions{})
	s.Must(err)
	return seen.Container
}
