package postgres

import (
	"context"

	"github.com/unite-hub/berth/internal/store"
)

// InsertForeign implements store.ForeignObjects.
func (t *tx) InsertForeign(ctx context.Context, o store.ForeignObject) (first bool, err error) {
	if err := t.MayWrite(""); err != nil {
		return false, err
	}
	n, err := t.exec(ctx, `INSERT INTO berth.foreign_objects (engine_id, kind, object_id, found_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (engine_id, kind, object_id) DO NOTHING`, o.EngineID, o.Kind, o.ID, stamp(o.FoundAt))
	return n > 0, fault(ctx, err, "write foreign object")
}
