package tenancy

import (
	"strings"

	"github.com/unite-hub/berth"
)

// ofOrganization reports whether an actor is one of an organization's own people, and
// no operator.
func ofOrganization(actor berth.Actor) bool {
	return actor.Role != berth.RoleOperator && !actor.Everywhere()
}

// checkOwnBlueprint refuses another blueprint to an organization's own people,
// before it is looked for: whether it exists is none of their business.
func checkOwnBlueprint(actor berth.Actor, before berth.Spec, asked *string) error {
	if asked == nil || !ofOrganization(actor) {
		return nil
	}
	is, _, err := berth.ParseBlueprintID(before.Blueprint)
	if err != nil {
		return err
	}
	if name, _, err := berth.ParseBlueprintID(*asked); err != nil || name != is {
		return berth.Errorf(berth.CodeForbidden, "Only an operator may move a tenant to another blueprint").WithField("blueprint").
			WithHint("leave it out, or give a version of %s", is)
	}
	return nil
}

// checkOwn refuses what an organization's own people may not choose when they
// deploy: images of another repository than the blueprint's and the present one.
// Images are pulled with the operator's credentials, and may be another
// customer's.
func checkOwn(actor berth.Actor, b Blueprint, before, after berth.Spec) error {
	if !ofOrganization(actor) {
		return nil
	}
	var known []string
	for _, tag := range []string{berth.DefaultTag, before.ImageTag} {
		reference, err := b.Image(tag)
		if err != nil {
			return err
		}
		known = append(known, repositoryOf(reference))
	}
	reference, err := b.Image(after.ImageTag)
	if err != nil {
		return err
	}
	for _, repository := range known {
		if repositoryOf(reference) == repository {
			return nil
		}
	}
	return berth.Errorf(berth.CodeForbidden, "Only an operator may have a tenant run another image").WithField("imageTag").
		WithHint("give a tag of %s", known[1])
}

// repositoryOf is a reference without its tag and digest.
func repositoryOf(reference string) string {
	repository, _, _ := strings.Cut(reference, "@")
	if colon := strings.LastIndexByte(repository, ':'); colon > strings.LastIndexByte(repository, '/') {
		repository = repository[:colon]
	}
	return repository
}
