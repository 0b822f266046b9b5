package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store/row"
)

// PutImage implements store.Images.
func (t *tx) PutImage(ctx context.Context, i berth.PulledImage) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO berth.pulled_images (engine_id, pin, reference, pulled_at) VALUES ($1, $2, $3, $4)
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
	err := t.many(ctx, func(rows pgx.Rows) error {
		i := berth.PulledImage{EngineID: engineID}
		err := rows.Scan(&i.Pin, &i.Reference, row.Time(&i.PulledAt))
		list = append(list, i)
		return err
	}, `SELECT pin, reference, pulled_at FROM berth.pulled_images WHERE engine_id = $1 ORDER BY pulled_at, pin COLLATE "C"`, engineID)
	return list, fault(ctx, err, "list images")
}

// DeleteImage implements store.Images.
func (t *tx) DeleteImage(ctx context.Context, engineID, pin string) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM berth.pulled_images WHERE engine_id = $1 AND pin = $2`, engineID, pin)
	return fault(ctx, err, "delete image")
}
