package tenancy

import (
	"context"
	"fmt"
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
	var mounted []berth.BlueprintMount
	switch b, err := s.catalog.Get(ctx, tx, before); berth.CodeOf(err) {
	case "":
		mounted = b.Defaults().Mounts
	case berth.CodeBlueprintNotFound, berth.CodeInvalidBlueprint, berth.CodeInvalidRequest:
		// It is not here, or this Berth can't read it: nothing is known of it.
	default:
		return nil, err
	}
	return compareMounts(organizationID, recorded, mounted, next.Defaults().Mounts), nil
}

// lastBlueprint is what the last tenant of an organization ran; "" if there was none.
func lastBlueprint(ctx context.Context, tx store.Deployments, organizationID string) (string, error) {
	history, _, err := tx.ListDeployments(ctx, organizationID, store.Page{Limit: 1})
	if err != nil || len(history) == 0 {
		return "", err
	}
	return history[0].New.Blueprint, nil
}

// compareMounts compares what a tenant's services find at their paths with what they
// are to find there. made are its volumes that were made once: such a one is not
// empty for all that is known. What the blueprint before mounted says whose a path
// was; where it says nothing, an image or an earlier blueprint may have kept
// something there.
func compareMounts(organizationID string, made []berth.VolumeRecord, before, after []berth.BlueprintMount) (list []left) {
	isMade := make(map[string]bool, len(made))
	for _, v := range made {
		isMade[v.Name] = true
	}
	had := make(map[berth.BlueprintPlace]string, len(before))
	for _, m := range before {
		had[m.BlueprintPlace] = m.Volume
	}
	for _, m := range after {
		if m.Volume != "" && isMade[berth.VolumeName(organizationID, m.Volume)] {
			continue
		}
		l := left{BlueprintMount: m}
		key, named := had[m.BlueprintPlace]
		switch {
		case named && key != "" && isMade[berth.VolumeName(organizationID, key)]:
			l.volumes = []string{berth.VolumeName(organizationID, key)}
		case named:
		default:
			if l.volumes = imageVolumesAt(organizationID, isMade, m.BlueprintPlace); len(l.volumes) > 0 {
				l.ofImage = true
			} else {
				l.volumes = unmountedAt(organizationID, made, m.Target, after)
			}
		}
		if len(l.volumes) > 0 {
			list = append(list, l)
		}
	}
	return list
}

// unmountedAt are the volumes that an earlier blueprint had at a path and after has
// nowhere. Whose path it was is not on record: where any service finds a volume that
// was made, it is taken for the one.
func unmountedAt(organizationID string, made []berth.VolumeRecord, target string, after []berth.BlueprintMount) (list []string) {
	mounts := func(v berth.VolumeRecord, at string) bool {
		return slices.ContainsFunc(after, func(m berth.BlueprintMount) bool {
			return m.Volume != "" && berth.VolumeName(organizationID, m.Volume) == v.Name && (at == "" || m.Target == at)
		})
	}
	for _, v := range made {
		if mounts(v, target) {
			return nil
		}
		if _, ofImage := berth.ImageVolumeTarget(v.Name); v.Mount == target && !ofImage && !mounts(v, "") {
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
	if l.Volume != "" {
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
	if slices.ContainsFunc(list, func(l left) bool { return l.ofImage }) {
		way = "mount nothing at the path, then the service finds the volume of its image again"
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
