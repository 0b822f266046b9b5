package sqlite

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// Blueprints are the installation's. They hold no secret, so that whoever sees
// any organization may read them.

const blueprintColumns = `name, version, hash, created_at, created_by`

// InsertBlueprint implements store.Blueprints.
func (t *tx) InsertBlueprint(ctx context.Context, v berth.BlueprintVersion) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	source := v.Source
	if source == nil {
		source = []byte{} // nil would be NULL
	}
	_, err := t.exec(ctx, `INSERT INTO blueprints (name, version, hash, source, created_at, created_by, seq)
		VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM blueprints))`,
		v.Name, v.Version, v.Hash, source, stamp(v.CreatedAt), row.OrNull(v.CreatedBy))
	if errors.Is(err, sqlite3.CONSTRAINT_PRIMARYKEY) {
		return row.Stale("The blueprint")
	}
	return fault(ctx, err, "insert blueprint")
}

// Blueprint implements store.Blueprints.
func (t *tx) Blueprint(ctx context.Context, name string, version int) (berth.BlueprintVersion, error) {
	var v berth.BlueprintVersion
	ok := false
	if t.Anything() {
		var err error
		ok, err = t.one(ctx, append(row.BlueprintColumns(&v), &v.Source), `SELECT `+blueprintColumns+`, source FROM blueprints
			WHERE name = ?1 AND (?2 = 0 OR version = ?2) ORDER BY version DESC LIMIT 1`, name, version)
		if err != nil {
			return berth.BlueprintVersion{}, fault(ctx, err, "read blueprint")
		}
	}
	if !ok {
		return berth.BlueprintVersion{}, row.NoBlueprint(name, version)
	}
	return v, nil
}

// ListBlueprints implements store.Blueprints.
func (t *tx) ListBlueprints(ctx context.Context, p store.Page) ([]berth.BlueprintVersion, string, error) {
	w, err := row.OpenWindow("blueprints", p)
	if err != nil || !t.Anything() {
		return []berth.BlueprintVersion{}, "", err
	}
	name, version := "", 0
	if w.Key != "" {
		if name, version, err = berth.ParseBlueprintID(w.Key); err != nil {
			return nil, "", w.BadKey()
		}
	}
	return page[berth.BlueprintVersion]{w, byKey(row.BlueprintColumns, berth.BlueprintVersion.ID), `SELECT ` + blueprintColumns + ` FROM blueprints
		WHERE name > ?1 OR name = ?1 AND version < ?2 ORDER BY name, version DESC LIMIT ?3`, []any{name, version}}.read(ctx, t)
}
