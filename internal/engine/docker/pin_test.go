package docker

import (
	"testing"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The images are as Engines 20.10 and 30 describe them; the second was asked
// through older versions of its API besides.
func TestOnlyWhatARegistryHasIsPinnedByADigest(t *testing.T) {
	const id, digest = "sha256:1111", "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	pulled := func(repository string) *image.Identity {
		return &image.Identity{Pull: []image.PullIdentity{{Repository: repository}}}
	}
	descriptor := &ocispec.Descriptor{}
	for name, c := range map[string]struct {
		ref  string
		have image.InspectResponse
		api  string
		want bool // a digest
	}{
		"pulled, older store":           {"app:1", image.InspectResponse{RepoDigests: []string{"app@" + digest}}, "1.41", true},
		"built, older store":            {"app:1", image.InspectResponse{}, "1.41", false},
		"built, containerd store":       {"app:1", image.InspectResponse{RepoDigests: []string{"app@" + digest}, Descriptor: descriptor}, "1.56", false},
		"signed only":                   {"app:1", image.InspectResponse{RepoDigests: []string{"app@" + digest}, Descriptor: descriptor, Identity: &image.Identity{}}, "1.56", false},
		"pulled, containerd store":      {"app:1", image.InspectResponse{RepoDigests: []string{"app@" + digest}, Descriptor: descriptor, Identity: pulled("docker.io/library/app")}, "1.56", true},
		"pulled from a port":            {"localhost:5000/a/b:1", image.InspectResponse{RepoDigests: []string{"localhost:5000/a/b@" + digest}, Descriptor: descriptor, Identity: pulled("localhost/a/b")}, "1.56", true},
		"pulled under another name":     {"app:1", image.InspectResponse{RepoDigests: []string{"app@" + digest}, Descriptor: descriptor, Identity: pulled("docker.io/library/other")}, "1.56", false},
		"containerd store, nobody says": {"app:1", image.InspectResponse{RepoDigests: []string{"app@" + digest}, Descriptor: descriptor}, "1.52", true},
	} {
		t.Run(name, func(t *testing.T) {
			named, err := reference.ParseNormalizedNamed(c.ref)
			if err != nil {
				t.Fatal(err)
			}
			c.have.ID = id
			if got := pinOf(c.ref, named, c.have, c.api); (got != id) != c.want {
				t.Errorf("pinned by %s", got)
			}
		})
	}
}
