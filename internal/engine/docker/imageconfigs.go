package docker

import (
	"context"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
)

// mostConfigs is how many images' configurations are remembered. Each is small:
// what an image brings that is not the blueprint's.
const mostConfigs = 1000

// imageConfig is what an image gives to each container that is made from it. It
// is never written to.
type imageConfig struct {
	labels      map[string]string
	healthcheck *container.HealthConfig
	volumes     map[string]struct{}
}

func configOf(i image.InspectResponse) *imageConfig {
	if i.Config == nil {
		return &imageConfig{}
	}
	return &imageConfig{labels: i.Config.Labels, healthcheck: i.Config.Healthcheck, volumes: i.Config.Volumes}
}

// imageConfigs are configurations by pin. An id or a digest names one image for
// ever, so each has to be inspected once; whether the Engine still has it is found
// out when a container is made.
type imageConfigs struct {
	mu  sync.Mutex
	all map[string]*imageConfig
}

func (c *imageConfigs) get(pin string) *imageConfig {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[pin]
}

// remember keeps the configuration of an image, if that is pinned at all.
func (c *imageConfigs) remember(pin string, i image.InspectResponse) {
	if !strings.HasPrefix(pin, idPrefix) && !strings.Contains(pin, "@"+idPrefix) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil || len(c.all) >= mostConfigs { // to inspect the living ones once more costs little
		c.all = map[string]*imageConfig{}
	}
	c.all[pin] = configOf(i)
}

func (c *imageConfigs) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = nil
}

// imageConfig returns what an image brings, nil if the Engine does not have it.
func (e *Engine) imageConfig(ctx context.Context, s step, pin string) (*imageConfig, error) {
	if config := e.configs.get(pin); config != nil {
		return config, nil
	}
	i, err := e.inspectImage(ctx, s, pin)
	if errdefs.IsNotFound(err) { // creating says so
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e.configs.remember(pin, i)
	return configOf(i), nil
}
