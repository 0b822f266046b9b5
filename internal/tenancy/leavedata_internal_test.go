package tenancy

import (
	"context"
	"testing"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// unreadable is a database that tells of volumes, and of blueprints only err.
type unreadable struct {
	store.Volumes
	store.Blueprints
	err error
}

func (u unreadable) ListVolumes(context.Context, string, store.Page) ([]berth.VolumeRecord, string, error) {
	return nil, "", nil
}

func (u unreadable) Blueprint(context.Context, string, int) (v berth.BlueprintVersion, err error) {
	return v, u.err
}

type mountsNothing struct{ Blueprint }

func (mountsNothing) Defaults() berth.BlueprintDefaults { return berth.BlueprintDefaults{} }

// Where it can't be told what a tenant mounted, no order goes on as if that were nothing.
func TestADatabaseThatFailsIsNoBlueprintWithoutData(t *testing.T) {
	for code, refused := range map[berth.Code]bool{berth.CodeStorageUnavailable: true, berth.CodeBlueprintNotFound: false} {
		u := unreadable{err: berth.Errorf(code, "it failed")}
		s := &Service{catalog: store.NewCatalog(func(berth.BlueprintVersion) (Blueprint, error) { return nil, nil })}
		_, err := s.leftBehind(t.Context(), store.Tx{Volumes: u, Blueprints: u}, "", "shop@1", mountsNothing{})
		if berth.Is(err, code) != refused {
			t.Errorf("%s: %v", code, err)
		}
	}
}
