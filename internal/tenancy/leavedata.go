package tenancy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// left is a place where a service would find nothing, though the tenant has data
// for it.
type left struct {
	berth.BlueprintMount          // what it would find
	volumes              []string // that hold the data
	ofImage              bool     // no blueprint named them
}

// keepsData refuses to move a tenant to a blueprint that would have it begin on
// an empty volume, or on a tmpfs, where it has data. before is the blueprint that
// it leaves.
func (s *Service) keepsData(ctx context.Context, tx store.Tx, t berth.Tenant, before string, next Blueprint) error {
	have, _, err := tx.ListVolumes(ctx, t.OrganizationID, store.Page{Limit: store.Unbounded})
	if err != nil {
		return err
	}
	made := make(map[string]bool, len(have))
	for _, v := range have {
		made[v.Name] = !v.CreatedAt.IsZero()
	}
	var mounted []berth.BlueprintMount
	switch b, err := s.catalog.Get(ctx, tx, before); berth.CodeOf(err) {
	case "":
		mounted = b.Defaults().Mounts
	case berth.CodeBlueprintNotFound, berth.CodeInvalidBlueprint, berth.CodeInvalidRequest:
		// It is not here, or this Berth can't read it: nothing is known of it.
	default:
		return err
	}
	list := leftBehind(t.OrganizationID, made, mounted, next.Defaults().Mounts)
	if len(list) == 0 {
		return nil
	}
	return leftBehindError(list, t.Spec.Blueprint)
}

// findsData is keepsData for a new tenant, of what an earlier one of the
// organization left.
func (s *Service) findsData(ctx context.Context, tx store.Tx, t berth.Tenant, b Blueprint) error {
	history, _, err := tx.ListDeployments(ctx, t.OrganizationID, store.Page{Limit: 1})
	if err != nil || len(history) == 0 {
		return err
	}
	return s.keepsData(ctx, tx, t, history[0].New.Blueprint, b)
}

// leftBehind compares what a tenant's services find at their paths with what they
// are to find there. A volume that was made once is not empty for all that is
// known, so only one that never was counts.
func leftBehind(organizationID string, made map[string]bool, before, after []berth.BlueprintMount) (list []left) {
	had := make(map[berth.BlueprintPlace]string, len(before))
	for _, m := range before {
		had[m.BlueprintPlace] = m.Volume
	}
	for _, m := range after {
		if m.Volume != "" && made[berth.VolumeName(organizationID, m.Volume)] {
			continue
		}
		l := left{BlueprintMount: m}
		key, named := had[m.BlueprintPlace]
		switch {
		case !named: // then the image may keep something there
			l.volumes, l.ofImage = imageVolumesAt(organizationID, made, m.BlueprintPlace), true
		case key != "" && made[berth.VolumeName(organizationID, key)]:
			l.volumes = []string{berth.VolumeName(organizationID, key)}
		}
		if len(l.volumes) > 0 {
			list = append(list, l)
		}
	}
	return list
}

// imageVolumesAt are the volumes of a service's replicas at a path that its
// image declares.
func imageVolumesAt(organizationID string, made map[string]bool, at berth.BlueprintPlace) (list []string) {
	for replica := 1; replica <= berth.MaxReplicas; replica++ {
		if name := berth.ImageVolumeName(organizationID, berth.Slot{Name: at.Service, Replica: replica}, at.Target); made[name] {
			list = append(list, name)
		}
	}
	return list
}

func leftBehindError(list []left, blueprint string) error {
	var places []string
	for _, l := range list {
		what := "a tmpfs"
		if l.Volume != "" {
			what = "volume " + l.Volume + ", which was never made"
		}
		places = append(places, fmt.Sprintf("service %s at %s (the data is in %s; %s mounts %s)", l.Service, l.Target, strings.Join(l.volumes, ", "), blueprint, what))
	}
	way := "name the volume in the blueprint as before"
	if slices.ContainsFunc(list, func(l left) bool { return l.ofImage }) {
		way = "mount nothing at the path, then the service finds the volume of its image again"
	}
	return berth.Errorf(berth.CodeDataLeftBehind, "The tenant's data would be left behind: it would begin empty in %s", strings.Join(places, "; in ")).
		WithField("blueprint").WithHint("%s; if it is meant, say leaveData (--leave-data): the data stays in its volume and nothing mounts it", way)
}
