package docker_test

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

func TestAPulledImageIsCollectedUnlessSomebodyNeedsIt(t *testing.T) {
	t.Parallel()
	e := open(t, options())
	r := newRegistry(t, "", "")
	has := func(name string) bool {
		_, err := shared.api.ImageInspect(t.Context(), name)
		if err != nil && !errdefs.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	ref, _ := r.push(t, "collected", authn.Anonymous)
	pin, err := e.Resolve(t.Context(), ref, nil, nil)
	must(t, err)
	image := berth.PulledImage{Pin: pin, Reference: ref}

	s := stack(t)
	s.Services[0].Image = pin
	s.Run = false
	_, err = e.Apply(t.Context(), s)
	must(t, err)
	if err := e.Collect(t.Context(), image); !berth.Is(err, berth.CodeEngineRefused) || !has(ref) || !has(pin) {
		t.Fatalf("an image with a container was collected: %v", err)
	}
	manual{}.RemoveAll(t, s.OrganizationID)

	theirs := "somebody-elses:" + berth.NewID()[:8]
	_, err = shared.api.ImageTag(t.Context(), client.ImageTagOptions{Source: pin, Target: theirs})
	must(t, err)
	must(t, e.Collect(t.Context(), image))
	if has(ref) || has(pin) || !has(theirs) {
		t.Errorf("ours is there: %t and %t, theirs %t", has(ref), has(pin), has(theirs))
	}
	_, err = shared.api.ImageRemove(t.Context(), theirs, client.ImageRemoveOptions{})
	must(t, err)
	must(t, e.Collect(t.Context(), image)) // what has gone is what was wanted
}
