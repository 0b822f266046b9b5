package docker

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"github.com/unite-hub/berth"
)

const idPrefix = "sha256:"

// Resolve returns what an image is pinned by. One that the Engine has is not
// pulled again.
func (e *Engine) Resolve(ctx context.Context, ref string, cred *berth.Credential, progress func(berth.Progress)) (string, error) {
	s := step{op: "resolve image " + ref}
	var named reference.Named
	if !strings.HasPrefix(ref, idPrefix) {
		var err error
		if named, err = reference.ParseNormalizedNamed(ref); err != nil {
			return "", berth.Errorf(berth.CodeImageNotFound, "Image reference %s is not valid: %w", berth.Quote(ref), err).
				WithField("imageTag").WithHint("give REPOSITORY:TAG or REPOSITORY@sha256:DIGEST").WithOp(s.op, "")
		}
		named = reference.TagNameOnly(named)
	}
	local, err := e.inspectImage(ctx, s, ref)
	if err == nil {
		return e.pin(ref, named, local), nil
	}
	if !errdefs.IsNotFound(err) {
		return "", err
	}
	if named == nil {
		return "", berth.Errorf(berth.CodeImageNotFound, "The Engine does not have image %s", ref).
			WithHint("an image that never was in a registry can't be pulled: build or load it again").WithOp(s.op, "")
	}
	if err := e.pull(ctx, named, cred, progress); err != nil {
		return "", err
	}
	pulled, err := e.inspectImage(ctx, s, ref)
	if errdefs.IsNotFound(err) {
		return "", berth.Errorf(berth.CodeRegistryUnavailable, "The pull of %s ended early", ref).
			WithHint("Berth tries again by itself").WithOp(s.op, "")
	}
	if err != nil {
		return "", err
	}
	return e.pin(ref, named, pulled), nil
}

// pin returns what an image is pinned by, and remembers what it brings.
func (e *Engine) pin(ref string, named reference.Named, i image.InspectResponse) string {
	pin := pinOf(ref, named, i, e.api.ClientVersion())
	e.rememberConfig(pin, i)
	return pin
}

func (e *Engine) inspectImage(ctx context.Context, s step, ref string) (out image.InspectResponse, err error) {
	err = e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.ImageInspect(ctx, ref)
		out = got.InspectResponse
		return err
	})
	return out, err
}

// pinOf returns what says exactly which image ref is: the digest that its
// registry has it under, else the Engine's id. ref itself if it is a pin.
func pinOf(ref string, named reference.Named, i image.InspectResponse, api string) string {
	if named == nil {
		return i.ID
	}
	if digested, ok := named.(reference.Canonical); ok {
		if _, tagged := named.(reference.Tagged); !tagged {
			return ref
		}
		return reference.FamiliarName(named) + "@" + digested.Digest().String()
	}
	if !inRegistry(named, i, api) {
		return i.ID
	}
	for _, d := range i.RepoDigests {
		if got, err := reference.ParseNormalizedNamed(d); err == nil && got.Name() == named.Name() {
			return d
		}
	}
	return i.ID
}

// identityAPI is the first version of the API that says where an image came from.
const identityAPI = "1.53"

// inRegistry reports whether a registry has the image under that name, as far
// as the Engine can tell. Its older image store names a repository digest only
// for what was pulled or pushed. The containerd image store, which is the one
// that describes images by a descriptor, names one for every image, and says
// where an image came from since API 1.53; before that nobody knows, and the
// digest is believed: while the Engine has the image, either pin finds it.
func inRegistry(named reference.Named, i image.InspectResponse, api string) bool {
	switch {
	case i.Descriptor == nil, i.Identity == nil && versions.LessThan(api, identityAPI):
		return true
	case i.Identity == nil:
		return false
	}
	// The Engine records the registry's host without its port.
	host, _, _ := strings.Cut(reference.Domain(named), ":")
	return slices.ContainsFunc(i.Identity.Pull, func(p image.PullIdentity) bool {
		return p.Repository == host+"/"+reference.Path(named)
	})
}

// pull gets an image from its registry. The deadline is on the whole of it.
func (e *Engine) pull(ctx context.Context, named reference.Named, cred *berth.Credential, progress func(berth.Progress)) error {
	ref := reference.FamiliarString(named)
	s := step{op: "pull " + ref}
	var opts client.ImagePullOptions
	if cred != nil {
		auth, err := authconfig.Encode(registry.AuthConfig{Username: cred.Username, Password: cred.Password, ServerAddress: cred.Registry})
		if err != nil {
			return berth.Errorf(berth.CodeInternal, "credential can't be encoded: %w", err).WithOp(s.op, "")
		}
		opts.RegistryAuth = auth
	}
	if progress != nil {
		progress(berth.Progress{Step: s.op})
	}
	return e.do(ctx, s, e.PullTimeout, func(call context.Context) error {
		body, err := e.api.ImagePull(call, named.String(), opts)
		if err == nil {
			err = follow(call, body, s.op, progress)
		}
		switch {
		case err == nil, ctx.Err() != nil, client.IsErrConnectionFailed(err):
			return err
		case call.Err() != nil:
			return berth.Errorf(berth.CodeRegistryUnavailable, "The pull of %s did not end within %s: %w", ref, e.PullTimeout, call.Err()).
				WithHint("check the connection to the registry; Berth tries again by itself")
		default:
			return pullError(ref, cred, err)
		}
	})
}

// layerSums adds up how far the layers of a pull have come.
type layerSums map[string]*jsonstream.Progress

func (l layerSums) add(m jsonstream.Message) (done, total int64) {
	if m.ID != "" {
		switch {
		case m.Status == "Downloading" && m.Progress != nil:
			l[m.ID] = &jsonstream.Progress{Current: m.Progress.Current, Total: m.Progress.Total}
		case m.Status == "Download complete" || m.Status == "Pull complete":
			if p := l[m.ID]; p != nil {
				p.Current = p.Total
			}
		}
	}
	for _, p := range l {
		done, total = done+p.Current, total+p.Total
	}
	return done, total
}

// follow reads a pull to its end. An error inside the stream is one of the
// pull.
func follow(ctx context.Context, body client.ImagePullResponse, what string, progress func(berth.Progress)) error {
	defer body.Close()
	layers := layerSums{}
	for m, err := range body.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if m.Error != nil {
			return m.Error
		}
		if progress != nil {
			done, total := layers.add(m)
			progress(berth.Progress{Step: what, Done: done, Total: total})
		}
	}
	return nil
}

// pullError says whose fault a failed pull is. The Engine passes on what the
// registry said with status 404 or 500, or inside the stream without any, so
// the text has to decide where the status does not.
func pullError(ref string, cred *berth.Credential, err error) *berth.Error {
	text := strings.ToLower(err.Error())
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	cause := errdefsOnly{err}
	switch {
	case has("denied", "unauthorized", "no basic auth", "authentication required", "forbidden"), errdefs.IsUnauthorized(err):
		hint := "store a credential for the registry"
		if cred != nil {
			hint = "check the credential stored for " + cred.Registry
		}
		return berth.Errorf(berth.CodeRegistryDenied, "The registry does not give out %s: %w", ref, cause).WithHint("%s, and that the image exists", hint)
	case has("manifest unknown", "name unknown", "not found", "no matching manifest"):
		return berth.Errorf(berth.CodeImageNotFound, "There is no image %s: %w", ref, cause).
			WithField("imageTag").WithHint("check the name and the tag; an image of this machine must have exactly this name")
	case has("no space left"):
		return berth.Errorf(berth.CodeEngineUnavailable, "The Engine's disk is full: %w", cause).
			WithHint("free space where the Engine keeps its images; Berth tries again by itself")
	default:
		var streamed *jsonstream.Error
		if !answered(err) && !errdefs.IsNotFound(err) && !errors.As(err, &streamed) {
			return berth.Errorf(berth.CodeEngineUnavailable, "The pull of %s broke off: %w", ref, err).WithHint(engineHint)
		}
		return berth.Errorf(berth.CodeRegistryUnavailable, "The registry of %s did not give the image: %w", ref, cause).
			WithHint("check that the Engine reaches the registry; Berth tries again by itself")
	}
}
