package berth

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// DefaultRepository is what a bare tag selects a version of.
const DefaultRepository = "unite-hub-tenant"

// DefaultTag is the seed's.
const DefaultTag = "latest"

var (
	tagPattern       = pattern(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	referencePattern = pattern(`^(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?/)?` + // registry
		`[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*` + // path
		`(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`)
)

// ImageReference turns an imageTag into a full reference: a bare tag selects
// that version of repository, anything with '/', ':' or '@' is a reference
// already.
func ImageReference(repository, imageTag string) (string, error) {
	bad := Errorf(CodeInvalidImage, "Invalid image tag").WithField("imageTag").
		WithHint("give a tag such as v1.2, or a full reference such as registry.example.com/app:v1.2; %s was given", Quote(imageTag))
	if len(imageTag) > 400 {
		return "", bad
	}
	if strings.ContainsAny(imageTag, "/:@") {
		if !referencePattern().MatchString(imageTag) {
			return "", bad
		}
		return imageTag, nil
	}
	if !tagPattern().MatchString(imageTag) {
		return "", bad
	}
	return repository + ":" + imageTag, nil
}

// PulledImage is an image that Berth had an engine pull: nobody else asked for
// it, so Berth takes it away again once nothing can lead back to it.
type PulledImage struct {
	EngineID  string
	Pin       string // see reconcile.Engine.Resolve
	Reference string // that it was pulled by
	PulledAt  time.Time
}

// Pins are the images that s runs, sorted.
func (s Spec) Pins() []string {
	pins := slices.Collect(maps.Values(s.Images))
	if s.ImageDigest != "" {
		pins = append(pins, s.ImageDigest)
	}
	slices.Sort(pins)
	return slices.Compact(pins)
}
