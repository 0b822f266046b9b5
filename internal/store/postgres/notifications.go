package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const channelColumns = `id, organization_id, type, target, ciphertext, kinds, enabled, failing_since, last_error, created_at, created_by`

// InsertChannel implements store.Channels. Of the events, an actor of one
// organization sees its own only, and its channel gets no others.
func (t *tx) InsertChannel(ctx context.Context, c store.StoredChannel) error {
	if err := t.MayManage(c.OrganizationID); err != nil {
		return err
	}
	kinds, err := encodeJSON(c.Kinds)
	if err != nil {
		return fault(ctx, err, "insert channel")
	}
	_, err = t.exec(ctx, `INSERT INTO berth.channels (id, organization_id, type, target, ciphertext, kinds, enabled, failing_since, last_error,
			created_at, created_by, not_before)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (SELECT coalesce(max(seq), 0) FROM berth.events))`,
		c.ID, row.OrNull(c.OrganizationID), string(c.Type), c.Target, c.Ciphertext, kinds, c.Enabled, stamp(c.FailingSince), row.OrNull(c.LastError),
		stamp(c.CreatedAt), row.OrNull(c.CreatedBy))
	return fault(ctx, err, "insert channel")
}

// Channel implements store.Channels.
func (t *tx) Channel(ctx context.Context, id string) (store.StoredChannel, error) {
	var c store.StoredChannel
	ok, err := t.one(ctx, row.ChannelColumns(&c), `SELECT `+channelColumns+` FROM berth.channels WHERE id = $1`, id)
	if err != nil {
		return store.StoredChannel{}, fault(ctx, err, "read channel")
	}
	if !ok || !t.Actor.MayManage(c.OrganizationID) {
		return store.StoredChannel{}, row.NotFound("Notification channel")
	}
	return c, nil
}

// ListChannels implements store.Channels.
func (t *tx) ListChannels(ctx context.Context, p store.Page) ([]store.StoredChannel, string, error) {
	w, err := row.OpenWindow("channels", p)
	if err != nil {
		return nil, "", err
	}
	after, err := w.After()
	scope := t.ManagedScopeOf("")
	if err != nil || scope.None() {
		return []store.StoredChannel{}, "", err
	}
	mine, org := narrowed(scope, "organization_id", "$1")
	return page[store.StoredChannel]{w, bySeq(row.ChannelColumns), `SELECT ` + channelColumns + `, seq FROM berth.channels
		WHERE ` + mine + ` AND seq > $2 ORDER BY seq LIMIT $3`,
		[]any{org, after}}.read(ctx, t)
}

// writeChannel returns why the actor must not write a channel that is there.
func (t *tx) writeChannel(ctx context.Context, id string) error {
	if err := t.Writable(); err != nil {
		return err
	}
	_, err := t.Channel(ctx, id)
	return err
}

// UpdateChannel implements store.Channels.
func (t *tx) UpdateChannel(ctx context.Context, c berth.Channel) error {
	if err := t.writeChannel(ctx, c.ID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE berth.channels SET enabled = $1, failing_since = $2, last_error = $3 WHERE id = $4`,
		c.Enabled, stamp(c.FailingSince), row.OrNull(c.LastError), c.ID)
	return fault(ctx, err, "update channel")
}

// ResealChannel implements store.Channels.
func (t *tx) ResealChannel(ctx context.Context, c store.StoredChannel) error {
	if err := t.writeChannel(ctx, c.ID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE berth.channels SET target = $1, ciphertext = $2 WHERE id = $3`, c.Target, c.Ciphertext, c.ID)
	return fault(ctx, err, "seal channel")
}

// DeleteChannel implements store.Channels.
func (t *tx) DeleteChannel(ctx context.Context, id string) error {
	if err := t.writeChannel(ctx, id); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM berth.channels WHERE id = $1`, id)
	return fault(ctx, err, "delete channel")
}

// InsertDelivery implements store.Deliveries.
func (t *tx) InsertDelivery(ctx context.Context, d berth.Delivery) error {
	if err := t.writeChannel(ctx, d.ChannelID); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO berth.deliveries (id, channel_id, event_id, kind, body, created_at, attempt, next_at, state)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (channel_id, event_id) DO NOTHING`,
		d.ID, d.ChannelID, d.EventID, d.Kind, d.Body, stamp(d.CreatedAt), d.Attempt, stamp(d.NextAt), string(d.State))
	return fault(ctx, err, "insert delivery")
}

// UpdateDelivery implements store.Deliveries.
func (t *tx) UpdateDelivery(ctx context.Context, d berth.Delivery) error {
	if err := t.writeChannel(ctx, d.ChannelID); err != nil {
		return err
	}
	n, err := t.exec(ctx, `UPDATE berth.deliveries SET attempt = $1, at = $2, status_code = $3, error = $4, duration_ms = $5, next_at = $6, state = $7
		WHERE id = $8 AND channel_id = $9`,
		d.Attempt, stamp(d.At), row.OrNull(d.StatusCode), row.OrNull(d.Error), int(d.Duration/time.Millisecond), stamp(d.NextAt), string(d.State), d.ID, d.ChannelID)
	if err != nil {
		return fault(ctx, err, "update delivery")
	}
	if n == 0 {
		return row.NotFound("Delivery")
	}
	return nil
}

const deliveryColumns = `id, channel_id, event_id, kind, created_at, attempt, at, status_code, error, duration_ms, next_at, state`

// dueDeliveries steps from channel to channel in the index of what is pending,
// and takes the first that is due of each.
const dueDeliveries = `WITH RECURSIVE waiting (channel) AS (
	SELECT min(channel_id) FROM berth.deliveries WHERE state = 'pending'
	UNION ALL
	SELECT (SELECT min(d.channel_id) FROM berth.deliveries d WHERE d.state = 'pending' AND d.channel_id > w.channel)
	FROM waiting w WHERE w.channel IS NOT NULL)
	SELECT ` + deliveryColumns + `, body FROM waiting w CROSS JOIN LATERAL (SELECT * FROM berth.deliveries d
		WHERE d.channel_id = w.channel AND d.state = 'pending' AND d.next_at <= $1 ORDER BY d.next_at, d.seq LIMIT 1) first
	ORDER BY next_at, seq`

// DueDeliveries implements store.Deliveries.
func (t *tx) DueDeliveries(ctx context.Context, now time.Time) ([]berth.Delivery, error) {
	list := []berth.Delivery{}
	if !t.Everything() {
		return list, nil
	}
	err := t.many(ctx, func(rows pgx.Rows) error {
		var d berth.Delivery
		err := rows.Scan(append(row.DeliveryColumns(&d), &d.Body)...)
		list = append(list, d)
		return err
	}, dueDeliveries, stamp(now))
	return list, fault(ctx, err, "list due deliveries")
}

// ListDeliveries implements store.Deliveries.
func (t *tx) ListDeliveries(ctx context.Context, channelID string, p store.Page) ([]berth.Delivery, string, error) {
	w, err := row.OpenWindow("deliveries", p)
	if err != nil {
		return nil, "", err
	}
	before, err := w.Before()
	if err != nil {
		return nil, "", err
	}
	if _, err := t.Channel(ctx, channelID); err != nil {
		return nil, "", err
	}
	return page[berth.Delivery]{w, bySeq(row.DeliveryColumns), `SELECT ` + deliveryColumns + `, seq FROM berth.deliveries
		WHERE channel_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3`, []any{channelID, before}}.read(ctx, t)
}

// ForgetDeliveries implements store.Deliveries.
func (t *tx) ForgetDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := t.MayWrite(""); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM berth.deliveries WHERE id IN
		(SELECT id FROM berth.deliveries WHERE state <> 'pending' AND created_at < $1 ORDER BY created_at LIMIT $2)`, stamp(before), limit)
	return int(n), fault(ctx, err, "forget deliveries")
}

// EventsAfter implements store.Outbox.
func (t *tx) EventsAfter(ctx context.Context, seq int64, limit int) ([]store.NumberedEvent, error) {
	size, err := row.PageSize(limit)
	list := []store.NumberedEvent{}
	if err != nil || !t.Everything() {
		return list, err
	}
	err = t.many(ctx, func(rows pgx.Rows) error {
		var e store.NumberedEvent
		err := rows.Scan(append(row.EventColumns(&e.Event), &e.Seq)...)
		list = append(list, e)
		return err
	}, `SELECT `+eventColumns+`, seq FROM berth.events WHERE seq > $1 ORDER BY seq LIMIT $2`, seq, size)
	return list, fault(ctx, err, "read events")
}

// OutboxSeq implements store.Outbox.
func (t *tx) OutboxSeq(ctx context.Context) (seq int64, err error) {
	if !t.Everything() {
		return 0, row.Forbidden()
	}
	_, err = t.one(ctx, []any{&seq}, `SELECT seq FROM berth.outbox`)
	return seq, fault(ctx, err, "read outbox")
}

// SetOutboxSeq implements store.Outbox.
func (t *tx) SetOutboxSeq(ctx context.Context, seq int64) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE berth.outbox SET seq = $1`, seq)
	return fault(ctx, err, "write outbox")
}

// NotBefore implements store.Outbox.
func (t *tx) NotBefore(ctx context.Context, channelID string) (seq int64, err error) {
	if _, err := t.Channel(ctx, channelID); err != nil {
		return 0, err
	}
	_, err = t.one(ctx, []any{&seq}, `SELECT not_before FROM berth.channels WHERE id = $1`, channelID)
	return seq, fault(ctx, err, "read channel")
}
