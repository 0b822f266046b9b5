package docker

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// leastInterval is how often a command of an image's HEALTHCHECK may run, as a
// blueprint's own may.
const leastInterval = time.Second

// reservedLabels begin the names of labels by which Berth knows what is its own,
// and by which proxies take orders.
var reservedLabels = []string{"com.unite-hub.", "traefik."}

// takeFrom completes a container by what its image brings: the Engine gives it
// the image's labels, health check and volumes too, and none of these went
// through the blueprint's rules.
func (a *application) takeFrom(s step, spec instance, body client.ContainerCreateOptions) error {
	config := a.images[spec.Service.Image]
	if config == nil { // creating says that there is no such image
		return nil
	}
	if err := checkImageLabels(spec.Service.Image, config.labels); err != nil {
		return err.WithOp(s.op, s.tenant)
	}
	if err := checkImageVolumes(spec.Service, config.volumes); err != nil {
		return err.WithOp(s.op, s.tenant)
	}
	if body.Config.Healthcheck == nil {
		body.Config.Healthcheck = slower(config.healthcheck)
	}
	for _, m := range a.imageMounts(spec) {
		body.HostConfig.Mounts = append(body.HostConfig.Mounts, a.volumeMount(a.stack, m))
	}
	return nil
}

// checkImageLabels refuses an image whose labels would speak for Berth, or to a
// proxy. Who reads labels may not care for capital letters: Traefik doesn't.
func checkImageLabels(ref string, labels map[string]string) *berth.Error {
	var found []string
	for name := range labels {
		if slices.ContainsFunc(reservedLabels, func(own string) bool { return strings.HasPrefix(strings.ToLower(name), own) }) {
			found = append(found, berth.Quote(name))
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	return berth.Errorf(berth.CodeEngineRefused, "Image %s has labels that only Berth may give: %s", ref, strings.Join(found[:min(len(found), 5)], ", ")).
		WithHint("build the image without labels that begin with %s", strings.Join(reservedLabels, " or "))
}

// checkImageVolumes refuses an image with a volume where a service's secrets are, by
// another name or inside: they would be copied to a disk, or hidden. At the place itself
// secrets take precedence.
func checkImageVolumes(svc *berth.Service, volumes map[string]struct{}) *berth.Error {
	if len(svc.Secrets) == 0 {
		return nil
	}
	for _, declared := range slices.Sorted(maps.Keys(volumes)) {
		target := path.Clean("/" + declared)
		at := target
		if rest, ok := strings.CutPrefix(target, "/var/run/"); ok {
			at = "/run/" + rest // what /var/run is in every image
		}
		if at == berth.SecretsDir && target != at || strings.HasPrefix(at, berth.SecretsDir+"/") {
			return berth.Errorf(berth.CodeEngineRefused, "Image %s has a volume where the service's secrets are: %s", svc.Image, berth.Quote(declared)).
				WithHint("build the image without a VOLUME at or below %s", berth.SecretsDir)
		}
	}
	return nil
}

// slower is an image's own health check where it runs too often; nil where the
// image's can stay.
func slower(h *container.HealthConfig) *container.HealthConfig {
	if h == nil || len(h.Test) == 0 || h.Test[0] == "NONE" {
		return nil
	}
	tooOften := func(d time.Duration) bool { return d > 0 && d < leastInterval } // 0 is the Engine's default
	if !tooOften(h.Interval) && !tooOften(h.StartInterval) {
		return nil
	}
	out := container.HealthConfig{
		Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
	}
	for _, d := range []*time.Duration{&out.Interval, &out.StartInterval} {
		if tooOften(*d) {
			*d = leastInterval
		}
	}
	return &out
}
