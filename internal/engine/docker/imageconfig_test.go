package docker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// loaded is the image of the test app with another configuration, in the Engine
// as long as the test lasts.
func loaded(t *testing.T, change func(*v1.Config)) (pin string) {
	t.Helper()
	ref := "berth-enginetest:" + berth.NewID()[:8]
	img, err := makeImage(ref, "/app")
	must(t, err)
	cfg, err := img.ConfigFile()
	must(t, err)
	cfg = cfg.DeepCopy()
	change(&cfg.Config)
	img, err = mutate.ConfigFile(img, cfg)
	must(t, err)
	pin, err = load(t.Context(), ref, img)
	must(t, err)
	t.Cleanup(func() {
		_, err := shared.api.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{Force: true})
		report(t, err)
	})
	return pin
}

func TestAnImageCantCarryLabelsThatOnlyBerthMayGive(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	for _, label := range []string{"traefik.enable", "Traefik.http.routers.x.rule", "com.unite-hub.tenant.id", "COM.unite-hub.anything"} {
		s := stack(t)
		s.Services[0].Image = loaded(t, func(c *v1.Config) { c.Labels = map[string]string{label: "true", "fine": "x"} })
		_, err := e.Apply(t.Context(), s)
		if !berth.Is(err, berth.CodeEngineRefused) || !strings.Contains(err.Error(), label) {
			t.Errorf("%s: %v", label, err)
		}
		if o, err := e.Observe(t.Context(), s.OrganizationID); err != nil || len(o.Instances) != 0 {
			t.Errorf("%s: containers were made: %+v %v", label, o.Instances, err)
		}
	}
}

func TestAnImagesHealthCheckRunsOnceASecondAtMost(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	for want, interval := range map[time.Duration]time.Duration{time.Second: time.Millisecond, 0: 0, 7 * time.Second: 7 * time.Second} {
		image := loaded(t, func(c *v1.Config) {
			c.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "/app", "exit:0"}, Interval: interval, Retries: 5}
		})
		s := stack(t) // it goes before its image
		s.Services[0].Image, s.Run = image, false
		o, err := e.Apply(t.Context(), s)
		must(t, err)
		got, err := shared.api.ContainerInspect(t.Context(), o.Instances[0].ID, client.ContainerInspectOptions{})
		must(t, err)
		if h := got.Container.Config.Healthcheck; h == nil || h.Interval != want || h.Retries != 5 || len(h.Test) != 3 {
			t.Errorf("every %v: %+v", interval, h)
		}
	}
}
