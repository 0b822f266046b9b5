package docker

import (
	"context"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"github.com/unite-hub/berth"
)

// Collect takes away an image that was pulled for a tenant: the name and the
// digest that it was pulled by. The Engine drops the layers with the last name;
// it keeps what a container uses, and what has another name is somebody's.
func (e *Engine) Collect(ctx context.Context, i berth.PulledImage) error {
	s := step{op: "collect image " + i.Reference}
	have, err := e.inspectImage(ctx, s, i.Pin)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := e.unused(ctx, s, have.ID); err != nil {
		return err
	}
	names := []string{i.Pin}
	if tag := tagOf(i.Reference); slices.Contains(have.RepoTags, tag) {
		names = []string{tag, i.Pin}
	}
	for _, name := range names {
		if strings.HasPrefix(name, idPrefix) && len(have.RepoTags) > 0 {
			continue // by id it would lose names that others gave it
		}
		err := e.do(ctx, s, e.ChangeTimeout, func(ctx context.Context) error {
			_, err := e.api.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
			return err
		})
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// unused refuses an image that some container is made from, whoever's it is:
// the Engine would take its names all the same.
func (e *Engine) unused(ctx context.Context, s step, imageID string) error {
	return e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Limit: 1, Filters: client.Filters{}.Add("ancestor", imageID)})
		if err == nil && len(got.Items) > 0 {
			return berth.Errorf(berth.CodeEngineRefused, "The image is still in use by container %s", nameOf(got.Items[0])).
				WithHint("it goes once no container uses it").WithOp(s.op, "")
		}
		return err
	})
}

// tagOf is a reference as the Engine lists it among an image's tags.
func tagOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}
