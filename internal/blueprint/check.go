package blueprint

import (
	"slices"
	"strings"

	"github.com/unite-hub/berth"
)

// maxContainers bounds the containers of one tenant: its network holds 13, and
// one place stays free for a container that takes another one's place.
const maxContainers = 12

// Check checks what an order would make of a tenant: that new values fit what
// the blueprint says of its variables, that every required one is there, and
// that replicas and limits leave each service enough.
func (b *Blueprint) Check(spec berth.Spec, values map[string]string) error {
	for _, check := range []func() error{
		func() error { return b.checkValues(values) },
		func() error { return b.checkRequired(spec) },
		func() error { return b.checkReplicas(spec) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	_, err := b.app.share(spec.Limits, spec.Replicas)
	return err
}

func (b *Blueprint) checkValues(values map[string]string) error {
	for _, v := range b.app.Variables {
		value, given := values[v.Name]
		if p := b.patterns[v.Name]; given && p != nil && !p.MatchString(value) {
			// The value may be a secret: it is not shown.
			return berth.Errorf(berth.CodeInvalidEnvironment, "Environment variable %s must match %s", v.Name, v.Pattern).
				WithField("environment."+v.Name).WithHint("%s", describe(v, "give a value of that form"))
		}
	}
	return nil
}

func (b *Blueprint) checkRequired(spec berth.Spec) error {
	var missing []Variable
	for _, v := range b.app.Variables {
		if _, ok := spec.Environment[v.Name]; v.Required && !ok {
			missing = append(missing, v)
		}
	}
	if len(missing) > 0 {
		names := make([]string, 0, len(missing))
		for _, v := range missing {
			names = append(names, v.Name)
		}
		return berth.Errorf(berth.CodeMissingVariable, "Blueprint %s requires the environment variable %s", b.id, strings.Join(names, ", ")).
			WithField("environment."+names[0]).WithHint("%s", describe(missing[0], "give it a value, such as --env "+names[0]+"=VALUE"))
	}
	return nil
}

func (b *Blueprint) checkReplicas(spec berth.Spec) error {
	main := b.app.main()
	if spec.Replicas > 1 {
		for _, m := range main.Mounts {
			if !m.ReadOnly && !b.app.shared(m.Volume) {
				return berth.Errorf(berth.CodeInvalidReplicas, "Service %s can't have %d replicas: volume %s must not be held twice", main.Name, spec.Replicas, m.Volume).
					WithField("replicas").WithHint("use one replica, or mark the volume with x-berth.volumes.%s.shared: true if the app can share it", m.Volume)
			}
		}
	}
	total := spec.Replicas
	for _, s := range b.app.Services {
		if s.Name != main.Name {
			total += s.Replicas
		}
	}
	if total > maxContainers {
		return berth.Errorf(berth.CodeInvalidReplicas, "The tenant would have %d containers, more than %d", total, maxContainers).
			WithField("replicas").WithHint("use %d replicas or fewer", max(1, spec.Replicas-(total-maxContainers)))
	}
	return nil
}

func (a *App) shared(volume string) bool {
	return slices.ContainsFunc(a.Volumes, func(v Volume) bool { return v.Name == volume && v.Shared })
}

func describe(v Variable, way string) string {
	if v.Description == "" {
		return way
	}
	return way + ": " + v.Description
}
