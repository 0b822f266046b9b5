// Package blueprint turns a compose file into an app, an app and a tenant into
// a stack, and a stack into a compose file that runs without Berth.
package blueprint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/docker/tenant"
)

// Blueprint is one version of the app that tenants get copies of. It is never
// changed and may be used concurrently.
type Blueprint struct {
	app        *App
	id         string // name@version
	repository string // of the main service's image: what a bare image tag selects a version of
	tag        string // of the main service's image: what a tenant gets that asks for none
	patterns   map[string]*regexp.Regexp
}

// BuiltinSource is the blueprint that comes with Berth.
func BuiltinSource() []byte { return tenant.Template }

// New reads one version of a blueprint, which may have been stored by an older
// Berth: rules that are younger than that do not hold for it. The error carries
// all findings of the others.
func New(v berth.BlueprintVersion) (*Blueprint, error) {
	app, findings := read(v.Source)
	if app == nil {
		return nil, Refusal(unconditional(findings))
	}
	return compile(v, app)
}

func compile(v berth.BlueprintVersion, app *App) (*Blueprint, error) {
	b := &Blueprint{app: app, id: v.ID(), patterns: map[string]*regexp.Regexp{}}
	b.repository, b.tag = splitReference(app.main().Image)
	for _, variable := range app.Variables {
		if variable.Pattern == "" {
			continue
		}
		p, err := regexp.Compile(`\A(?:` + variable.Pattern + `)\z`)
		if err != nil {
			return nil, Refusal([]Finding{{Path: "x-berth.variables." + variable.Name + ".pattern", Kind: Invalid, Rule: err.Error()}})
		}
		b.patterns[variable.Name] = p
	}
	return b, nil
}

// Examine reads a blueprint by all rules and returns the name that it gives
// itself. Its error carries all findings. With an error there is a name only if
// the blueprint breaks none but rules that it can be older than: if it is
// stored, it is still read.
func Examine(source []byte) (name string, err error) {
	app, findings := read(source)
	if app == nil {
		return "", Refusal(findings)
	}
	if _, err := compile(berth.BlueprintVersion{}, app); err != nil {
		return "", err
	}
	if len(findings) > 0 {
		return app.Name, Refusal(findings)
	}
	return app.Name, nil
}

// Refusal is the error that says all that is wrong with a blueprint.
func Refusal(findings []Finding) error {
	first := findings[0]
	e := berth.Errorf(berth.CodeInvalidBlueprint, "The blueprint has %d findings; the first: %s: %s", len(findings), first.Path, first.Rule).
		WithField(first.Path).WithHint("%s", first.Hint)
	if len(findings) == 1 {
		e.Message = first.Path + ": " + first.Rule
	}
	list := make([]berth.BlueprintFinding, 0, len(findings))
	for _, f := range findings {
		list = append(list, berth.BlueprintFinding{Path: f.Path, Line: f.Line, Kind: string(f.Kind), Rule: f.Rule, Hint: f.Hint})
	}
	return e.WithFindings(list)
}

func (a *App) main() *Service {
	i := slices.IndexFunc(a.Services, func(s Service) bool { return s.Name == a.Main })
	return &a.Services[i] // Parse saw to it that there is one
}

// ID is the blueprint's name@version.
func (b *Blueprint) ID() string { return b.id }

// Defaults are what a tenant gets that asks for nothing.
func (b *Blueprint) Defaults() berth.BlueprintDefaults {
	d := berth.BlueprintDefaults{
		ImageTag: b.tag, Limits: b.app.Limits, Replicas: b.app.main().Replicas, Port: b.app.Port, Health: b.app.Health,
	}
	for _, v := range b.app.Volumes {
		if !v.Shared {
			d.Exclusive = append(d.Exclusive, v.Name)
		}
	}
	for _, svc := range b.app.Services {
		if svc.Once {
			d.Once = append(d.Once, svc.Name)
		}
		for _, m := range svc.Mounts {
			d.Mounts = append(d.Mounts, berth.BlueprintMount{BlueprintPlace: berth.BlueprintPlace{Service: svc.Name, Target: m.Target}, Volume: m.Volume})
		}
		for _, m := range svc.Tmpfs {
			d.Mounts = append(d.Mounts, berth.BlueprintMount{BlueprintPlace: berth.BlueprintPlace{Service: svc.Name, Target: m.Target}})
		}
	}
	return d
}

// Image turns an imageTag into the full reference of the main service's image.
func (b *Blueprint) Image(imageTag string) (string, error) {
	return berth.ImageReference(b.repository, imageTag)
}

// Images returns the reference of every image that a tenant with this imageTag
// needs besides the main one's, by service. A service whose image is of the
// same repository as the main service's is another command of the same
// program: it follows the tag and is not listed.
func (b *Blueprint) Images() map[string]string {
	list := map[string]string{}
	for _, s := range b.app.Services {
		if !b.follows(s) {
			list[s.Name] = s.Image
		}
	}
	return list
}

// follows reports whether a service runs the image that a tenant's tag selects.
func (b *Blueprint) follows(s Service) bool {
	repository, _ := splitReference(s.Image)
	return repository == b.repository
}

// splitReference parts a reference into repository and tag. A digest counts as
// part of the repository: it can't be replaced by a tag.
func splitReference(reference string) (repository, tag string) {
	if strings.Contains(reference, "@") {
		return reference, reference
	}
	i := strings.LastIndexByte(reference, ':')
	if i < 0 || strings.Contains(reference[i:], "/") {
		return reference, berth.DefaultTag
	}
	return reference[:i], reference[i+1:]
}

// Volumes are the volumes that an organization's tenant has. Mount is the
// first place where one is mounted.
func (b *Blueprint) Volumes(organizationID string) []berth.VolumeRecord {
	list := make([]berth.VolumeRecord, 0, len(b.app.Volumes))
	for _, v := range b.app.Volumes {
		list = append(list, berth.VolumeRecord{
			OrganizationID: organizationID, Name: berth.VolumeName(organizationID, v.Name), Mount: b.app.mountOf(v.Name),
		})
	}
	return list
}

func (a *App) mountOf(volume string) string {
	for _, s := range append([]Service{*a.main()}, a.Services...) {
		for _, m := range s.Mounts {
			if m.Volume == volume {
				return m.Target
			}
		}
	}
	return ""
}

// IsSecret reports whether a rollback leaves the current value of a variable
// in place: the blueprint says so, or, where it does not name the variable,
// the name does.
func (b *Blueprint) IsSecret(name string) bool {
	for _, v := range b.app.Variables {
		if v.Name == name {
			return v.Secret
		}
	}
	return berth.IsSecretName(name)
}
