package sqlite

import (
	"context"
	"database/sql"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

// PutImage implements store.Images.
func (t *tx) PutImage(ctx context.Context, i berth.PulledImage) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO pulled_images (engine_id, pin, reference, pulled_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (engine_id, pin) DO UPDATE SET reference = excluded.reference, pulled_at = excluded.pulled_at`,
		i.EngineID, i.Pin, i.Reference, stamp(i.PulledAt))
	return fault(ctx, err, "write image")
}

// ListImages implements store.Images.
func (t *tx) ListImages(ctx context.Context, engineID string) ([]berth.PulledImage, error) {
	list := []berth.PulledImage{}
	if !t.Everything() {
		return list, nil
	}
	err := t.many(ctx, func(rows *sql.Rows) error {
		i := berth.PulledImage{EngineID: engineID}
		if err := rows.Scan(&i.Pin, &i.Reference, row.Time(&i.PulledAt)); err != nil {
			return err
		}
		list = append(list, i)
		return nil
	}, `SELECT pin, reference, pulled_at FROM pulled_images WHERE engine_id = ? ORDER BY pulled_at, pin`, engineID)
	return list, fault(ctx, err, "list images")
}

// DeleteImage implements store.Images.
func (t *tx) DeleteImage(ctx context.Context, engineID, pin string) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM pulled_images WHERE engine_id = ? AND pin = ?`, engineID, pin)
	return fault(ctx, err, "delete image")
}
