package docker

import (
	"context"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"

	"github.com/unite-hub/berth/internal/lru"
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

// newConfigs makes room for configurations by pin. An id or a digest names one image
// for ever, so each has to be inspected once; whether the Engine still has it is found
// out when a container is made.
func newConfigs() *lru.Map[string, *imageConfig] { return lru.New[string, *imageConfig](mostConfigs) }

// rememberConfig keeps the configuration of an image, if that is pinned at all.
func (e *Engine) rememberConfig(pin string, i image.InspectResponse) {
	if strings.HasPrefix(pin, idPrefix) || strings.Contains(pin, "@"+idPrefix) {
		e.configs.Use(pin, func() *imageConfig { return configOf(i) })
	}
}

// imageConfig returns what an image brings, nil if the Engine does not have it.
func (e *Engine) imageConfig(ctx context.Context, s step, pin string) (*imageConfig, error) {
	if config, ok := e.configs.Peek(pin); ok {
		return config, nil
	}
	i, err := e.inspectImage(ctx, s, pin)
	if errdefs.IsNotFound(err) { // creating says so
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e.rememberConfig(pin, i)
	return configOf(i), nil
}
