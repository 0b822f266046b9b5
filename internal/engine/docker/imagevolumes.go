package docker

import (
	"context"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// longestVolumeName is that of a directory: the Engine keeps a volume in one.
const longestVolumeName = 255

// inspectImages looks at the images that something is to be made from, and
// refuses what their volumes make impossible.
func (a *application) inspectImages(ctx context.Context) error {
	a.images = map[string]*imageConfig{}
	for _, spec := range a.specs {
		if _, kept := a.kept[spec.Name]; kept {
			continue
		}
		s := step{"look at the image of service " + spec.Service.Name, a.stack.OrganizationID}
		if _, known := a.images[spec.Service.Image]; !known {
			config, err := a.imageConfig(ctx, s, spec.Service.Image)
			if err != nil {
				return err
			}
			a.images[spec.Service.Image] = config
		}
		for _, m := range a.imageMounts(spec) {
			if err := a.checkImageVolume(m); err != nil {
				return err.WithOp(s.op, s.tenant)
			}
			a.stored = append(a.stored, m.Volume)
		}
	}
	return nil
}

// findUnnamed tells of volumes that nobody named and nothing uses. Some may be what
// an earlier Berth's deployments left; nothing proves it.
func (e *Engine) findUnnamed(ctx context.Context, s step, f *facts) error {
	n := 0
	err := e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("dangling", "true")})
		for _, v := range got.Items {
			if isAnonymous(v.Name) {
				n++
			}
		}
		return err
	})
	if err == nil && n > 0 {
		f.info.Findings = append(f.info.Findings, berth.EngineFinding{
			Check: "unnamed volumes", OK: true, Detail: strconv.Itoa(n) + " that nobody named and nothing uses",
			Hint: "before Berth named what images declare as volumes, each deployment left some; look at them with docker volume ls -f dangling=true, and remove what you don't need",
		})
	}
	return err
}

func (a *application) checkImageVolume(m berth.Mount) *berth.Error {
	named := func(v berth.Volume) bool { return v.Name == m.Volume }
	there := func(v volume.Volume) bool { return v.Name == m.Volume }
	foreign := func(f berth.Foreign) bool { return f.Kind == kindVolume && f.Name == m.Volume }
	switch i := slices.IndexFunc(a.stack.Volumes, named); {
	case len(m.Volume) > longestVolumeName:
		return berth.Errorf(berth.CodeEngineRefused, "The image keeps data at %s, which is too long a path to name a volume by", berth.Quote(m.Target)).
			WithHint("mount a volume or a tmpfs there in the blueprint")
	case slices.ContainsFunc(a.have.foreign, foreign):
		return foreignError(a.have.foreign[slices.IndexFunc(a.have.foreign, foreign)])
	case i >= 0 && a.stack.Volumes[i].Recorded && !slices.ContainsFunc(a.have.volumes, there):
		return missing(m.Volume)
	}
	return nil
}

// imageMounts are the volumes of an instance at the paths that its image declares
// as volumes and its spec mounts nothing at. Left to itself, the Engine would make
// ones without a name, anew with each container.
func (a *application) imageMounts(spec instance) (list []berth.Mount) {
	config := a.images[spec.Service.Image]
	if config == nil {
		return nil
	}
	taken := map[string]bool{}
	for _, m := range spec.Service.Mounts {
		taken[path.Clean(m.Target)] = true
	}
	for _, t := range spec.Service.Tmpfs {
		taken[path.Clean(t.Target)] = true
	}
	if len(spec.Service.Secrets) > 0 {
		taken[berth.SecretsDir] = true
	}
	for _, declared := range slices.Sorted(maps.Keys(config.volumes)) {
		target := path.Clean("/" + declared)
		if !taken[target] {
			taken[target] = true
			list = append(list, berth.Mount{Volume: berth.ImageVolumeName(a.stack.OrganizationID, spec.Slot, target), Target: target})
		}
	}
	return list
}
