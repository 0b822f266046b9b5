package tenancy

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// leaving is what an order says of data that its services would not find any
// more, and where that is so.
type leaving struct {
	meant bool
	list  []left
}

// left is a place where a service would find nothing, though the tenant has data
// for it.
type left struct {
	berth.BlueprintMount          // what it would find
	volumes              []string // that hold the data
	ofImage              bool     // no blueprint named them
	inside               bool     // they hold it under a path above
	beneath              bool     // they held it under a path below
	unused               bool     // the volume that it would find is there, and the tenant does not use it
}

// refusal is the error of an order that leaves data behind and does not mean it.
func (l *leaving) refusal(blueprint string) error {
	if l.meant || len(l.list) == 0 {
		return nil
	}
	return leftBehindError(l.list, blueprint)
}

// leftBehind finds where an organization's tenant would begin on an empty volume, or
// on a tmpfs, though it has data for that place. before is the blueprint that it
// leaves, and next the one that it gets.
func (s *Service) leftBehind(ctx context.Context, tx blueprintVolumes, organizationID, before string, next Blueprint) ([]left, error) {
	recorded, _, err := tx.ListVolumes(ctx, organizationID, store.Page{Limit: store.Unbounded})
	if err != nil {
		return nil, err
	}
	recorded = slices.DeleteFunc(recorded, func(v berth.VolumeRecord) bool { return v.CreatedAt.IsZero() })
	c := comparison{organizationID: organizationID, made: recorded, after: next.Defaults().Mounts}
	switch b, err := s.catalog.Get(ctx, tx, before); berth.CodeOf(err) {
	case "":
		c.before = b.Defaults().Mounts
	case berth.CodeBlueprintNotFound, berth.CodeInvalidBlueprint, berth.CodeInvalidRequest:
		c.unknown = true // it is not here, or this Berth can't read it
	default:
		return nil, err
	}
	return c.places(), nil
}

// lastBlueprint is what the last tenant of an organization ran; "" if there was none.
func lastBlueprint(ctx context.Context, tx store.Deployments, organizationID string) (string, error) {
	history, _, err := tx.ListDeployments(ctx, organizationID, store.Page{Limit: 1})
	if err != nil || len(history) == 0 {
		return "", err
	}
	return history[0].New.Blueprint, nil
}

// comparison compares what a tenant's services find at their paths with what they
// are to find there. The blueprint before says whose a path was, and which volumes the
// tenant uses: another one may have been made for an order that was taken back, and be
// empty. Where it says nothing of a path, an image or an earlier blueprint may have
// kept something there.
type comparison struct {
	organizationID string
	made           []berth.VolumeRecord // the tenant's volumes that were made once
	before, after  []berth.BlueprintMount
	unknown        bool // what before is: then a volume that was made is not empty for all that is known

	isMade map[string]bool
	had    map[berth.BlueprintPlace]string // the keys of before
}

// places are those where data would be left behind.
func (c comparison) places() (list []left) {
	c.isMade = make(map[string]bool, len(c.made))
	for _, v := range c.made {
		c.isMade[v.Name] = true
	}
	c.had = make(map[berth.BlueprintPlace]string, len(c.before))
	used := make(map[string]bool, len(c.before))
	for _, m := range c.before {
		c.had[m.BlueprintPlace] = m.Volume
		used[m.Volume] = true
	}
	for _, m := range c.after {
		isMade := m.Volume != "" && c.isMade[berth.VolumeName(c.organizationID, m.Volume)]
		if isMade && (used[m.Volume] || c.unknown) {
			continue
		}
		if l := c.at(m); len(l.volumes) > 0 {
			l.unused = isMade
			list = append(list, l)
		}
	}
	return list
}

// at tells which volumes hold data for a place that is to have m.
func (c *comparison) at(m berth.BlueprintMount) left {
	l := left{BlueprintMount: m}
	if key, named := c.had[m.BlueprintPlace]; named {
		if name := berth.VolumeName(c.organizationID, key); key != "" && c.isMade[name] {
			l.volumes = []string{name}
		}
		return l
	}
	if l.volumes = imageVolumesAt(c.organizationID, c.isMade, m.BlueprintPlace); len(l.volumes) > 0 {
		l.ofImage = true
		return l
	}
	if l.volumes = c.above(m.BlueprintPlace); len(l.volumes) > 0 {
		l.inside = true
		return l
	}
	if l.volumes = c.below(m.BlueprintPlace); len(l.volumes) > 0 {
		l.beneath = true
		return l
	}
	l.volumes = c.unmountedAt(m.Target)
	return l
}

// below are the volumes that a service found under a path, where nothing mounts them any
// more: the next version of a program may keep its data one directory up.
func (c *comparison) below(at berth.BlueprintPlace) (list []string) {
	for _, m := range c.before {
		name := berth.VolumeName(c.organizationID, m.Volume)
		stays := slices.ContainsFunc(c.after, func(next berth.BlueprintMount) bool { return next.Volume == m.Volume })
		if m.Service == at.Service && strings.HasPrefix(m.Target, at.Target+"/") && c.isMade[name] && !stays {
			list = append(list, name)
		}
	}
	return list
}

// above is the volume in which a service found what lies under a path, because it is
// mounted at a path above.
func (c *comparison) above(at berth.BlueprintPlace) []string {
	for dir := path.Dir(at.Target); len(dir) > 1; dir = path.Dir(dir) {
		key, named := c.had[berth.BlueprintPlace{Service: at.Service, Target: dir}]
		if !named {
			continue
		}
		if name := berth.VolumeName(c.organizationID, key); key != "" && c.isMade[name] {
			return []string{name}
		}
		return nil
	}
	return nil
}

// unmountedAt are the volumes that an earlier blueprint had at a path and after has
// nowhere. Whose path it was is not on record: where a service finds a volume that was
// made, and did not before, it is taken for the one.
func (c *comparison) unmountedAt(target string) (list []string) {
	for _, v := range c.made {
		mounted := false
		for _, m := range c.after {
			if m.Volume == "" || berth.VolumeName(c.organizationID, m.Volume) != v.Name {
				continue
			}
			if mounted = true; m.Target == target && !slices.Contains(c.before, m) {
				return nil
			}
		}
		if _, ofImage := berth.ImageVolumeTarget(v.Name); v.Mount == target && !ofImage && !mounted {
			list = append(list, v.Name)
		}
	}
	return list
}

// imageVolumesAt are the volumes of a service's replicas at a path that its
// image declares.
func imageVolumesAt(organizationID string, isMade map[string]bool, at berth.BlueprintPlace) (list []string) {
	for replica := 1; replica <= berth.MaxReplicas; replica++ {
		if name := berth.ImageVolumeName(organizationID, berth.Slot{Name: at.Service, Replica: replica}, at.Target); isMade[name] {
			list = append(list, name)
		}
	}
	return list
}

// found says what a service would find in a place, for people.
func (l left) found(blueprint string) string {
	what := "a tmpfs"
	switch {
	case l.Volume != "" && l.unused:
		what = "volume " + l.Volume + ", which the tenant does not use now"
	case l.Volume != "":
		what = "volume " + l.Volume + ", which was never made"
	}
	return blueprint + " mounts " + what
}

func leftBehindError(list []left, blueprint string) error {
	var places []string
	for _, l := range list {
		places = append(places, fmt.Sprintf("service %s at %s (the data is in %s; %s)", l.Service, l.Target, strings.Join(l.volumes, ", "), l.found(blueprint)))
	}
	way := "name the volume in the blueprint as before"
	switch {
	case slices.ContainsFunc(list, func(l left) bool { return l.ofImage }):
		way = "mount nothing at the path, then the service finds the volume of its image again"
	case slices.ContainsFunc(list, func(l left) bool { return l.inside }):
		way = "mount nothing inside the volume"
	case slices.ContainsFunc(list, func(l left) bool { return l.beneath }):
		way = "mount the volume where it was before"
	}
	return berth.Errorf(berth.CodeDataLeftBehind, "The tenant's data would be left behind: it would begin empty in %s", strings.Join(places, "; in ")).
		WithField("blueprint").WithHint("%s; if it is meant, say leaveData (--leave-data): the data stays in its volume and nothing mounts it", way)
}

// inWords says what an order leaves behind, a line a place.
func (l *leaving) inWords(blueprint string) (lines []string) {
	if l == nil {
		return nil
	}
	for _, place := range l.list {
		lines = append(lines, fmt.Sprintf("service %s begins empty at %s: %s; the data stays in %s, which nothing mounts there",
			place.Service, place.Target, place.found(blueprint), strings.Join(place.volumes, ", ")))
	}
	return lines
}
