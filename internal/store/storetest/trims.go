package storetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// trim is a rule by which rows go after a time. Every one is here: what a clock that
// was wrong wrote must not keep any of them from its work.
type trim struct {
	what string
	// plant stores the n-th row, whose time is at.
	plant func(ctx context.Context, tx store.Tx, n int, at time.Time) error
	drop  func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error)
	stay  int // rows of the future that stay even when it has come
}

const distant = 100 * 365 * 24 * time.Hour

var trims = []trim{
	{"sessions that expired", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		x := session(n, 5)
		x.ExpiresAt = at
		return tx.InsertSession(ctx, x)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetSessions(ctx, before, limit)
	}, 0},
	{"sessions that were revoked", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		x := session(n, 5)
		x.RevokedAt, x.ExpiresAt = at, noon.Add(2*distant)
		return tx.InsertSession(ctx, x)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetSessions(ctx, before, limit)
	}, 0},
	{"invitations that expired", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		x := invitation(n, org(1), berth.RoleMember)
		x.ExpiresAt = at
		return tx.InsertInvitation(ctx, x)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetInvitations(ctx, before, limit)
	}, 0},
	{"invitations that were revoked", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		x := invitation(n, org(1), berth.RoleMember)
		x.RevokedAt, x.ExpiresAt = at, noon.Add(2*distant)
		return tx.InsertInvitation(ctx, x)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetInvitations(ctx, before, limit)
	}, 0},
	{"tokens that expired", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		x := token(n, org(1), berth.RoleAdmin)
		x.ExpiresAt = at
		return tx.InsertToken(ctx, x)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetTokens(ctx, before, limit)
	}, 0},
	{"tokens that were revoked", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		x := token(n, org(1), berth.RoleAdmin)
		x.RevokedAt, x.ExpiresAt = at, noon.Add(2*distant)
		return tx.InsertToken(ctx, x)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetTokens(ctx, before, limit)
	}, 0},
	{"events", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		if err := tx.InsertEvent(ctx, berth.Event{ID: id(n), OrganizationID: org(1), At: at, Kind: "oom", Message: "m"}); err != nil {
			return err
		}
		list, err := tx.EventsAfter(ctx, 0, 0)
		if err != nil {
			return err
		}
		return tx.SetOutboxSeq(ctx, list[len(list)-1].Seq)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetEvents(ctx, before, limit)
	}, 1},
	{"deliveries", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		d := delivery(n, seededChannel)
		d.CreatedAt, d.State = at, berth.DeliveryDelivered
		return tx.InsertDelivery(ctx, d)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetDeliveries(ctx, before, limit)
	}, 0},
	{"idempotency keys", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		return tx.PutRequest(ctx, store.Request{Key: id(n), Fingerprint: []byte{1}, CreatedAt: at})
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetRequests(ctx, before, limit)
	}, 0},
	{"single health checks", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		return tx.InsertProbe(ctx, probeAt(1, at, berth.ProbeHealthy, time.Second))
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetHealth(ctx, "", before, limit)
	}, 0},
	{"health by hour", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		t, err := tx.Tenant(ctx, org(1))
		if err != nil {
			return err
		}
		return tx.PutHealth(ctx, []berth.HealthPeriod{{TenantID: t.ID, OrganizationID: org(1), Resolution: berth.ByHour, Start: at, Healthy: 1}})
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetHealth(ctx, berth.ByHour, before, limit)
	}, 0},
	{"health by day", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		t, err := tx.Tenant(ctx, org(1))
		if err != nil {
			return err
		}
		return tx.PutHealth(ctx, []berth.HealthPeriod{{TenantID: t.ID, OrganizationID: org(1), Resolution: berth.ByDay, Start: at, Healthy: 1}})
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetHealth(ctx, berth.ByDay, before, limit)
	}, 0},
	{"usage by minute", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		u := usage(1, 0)
		u.Resolution, u.Start, u.End = berth.ByMinute, at, at.Add(time.Minute)
		return tx.PutUsage(ctx, []berth.Usage{u})
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetUsage(ctx, berth.ByMinute, before, limit)
	}, 0},
	{"usage by hour", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		u := usage(1, 0)
		u.Resolution, u.Start, u.End = berth.ByHour, at, at.Add(time.Minute)
		return tx.PutUsage(ctx, []berth.Usage{u})
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetUsage(ctx, berth.ByHour, before, limit)
	}, 0},
	{"usage by day", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		u := usage(1, 0)
		u.Resolution, u.Start, u.End = berth.ByDay, at, at.Add(time.Minute)
		return tx.PutUsage(ctx, []berth.Usage{u})
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return tx.ForgetUsage(ctx, berth.ByDay, before, limit)
	}, 0},
	{"tombstones", func(ctx context.Context, tx store.Tx, n int, at time.Time) error {
		t := tenant(n)
		if err := tx.InsertTenant(ctx, t); err != nil {
			return err
		}
		t.Want, t.DeprovisionedAt = berth.WantGone, at
		return tx.UpdateTenant(ctx, &t)
	}, func(ctx context.Context, tx store.Tx, before time.Time, limit int) (int, error) {
		return bulldoze(ctx, tx, before, limit)
	}, 0},
}

// bulldoze drops up to limit tombstones that may go, with all that belongs to them.
func bulldoze(ctx context.Context, tx store.Tx, before time.Time, limit int) (n int, err error) {
	old, err := tx.OldTombstones(ctx, before)
	if err != nil {
		return 0, err
	}
	for _, r := range old[:min(limit, len(old))] {
		for dropped := 1; dropped > 0; {
			if dropped, err = tx.EmptyTombstone(ctx, r, before, 3); err != nil {
				return n, err
			}
		}
		if err := tx.DropTombstone(ctx, r, before); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// trimmed drops until nothing is due, as Berth itself, and returns how many went.
func (f fixture) trimmed(c trim, before time.Time) (total int) {
	f.Helper()
	for n := 2; n >= 2; total += n {
		err := f.try(berth.System(), func(ctx context.Context, tx store.Tx) (err error) {
			n, err = c.drop(ctx, tx, before, 2)
			return err
		})
		if err != nil || n > 2 {
			f.Fatalf("%s: %d, %v", c.what, n, err)
		}
	}
	return total
}

func trimTests() (list []test) {
	for _, c := range trims {
		list = append(list, test{c.what + " go in time, whatever the clock said for others", func(f fixture) {
			f.insert(tenant(1))
			f.users(5)
			f.tx(func(ctx context.Context, tx store.Tx) error {
				return tx.InsertChannel(ctx, channel(seededChannel, org(1)))
			})
			// The future comes first, in between and last.
			for n, at := range []time.Duration{distant, -5, -4, -3, distant + 1, -2, -1, distant + 2} {
				if at < distant {
					at *= 48 * time.Hour
				} else {
					at = distant + (at-distant)*time.Hour
				}
				f.tx(func(ctx context.Context, tx store.Tx) error { return c.plant(ctx, tx, 100+n, hour.Add(at)) })
			}
			if n := f.trimmed(c, hour.Add(-100*24*time.Hour)); n != 0 {
				f.Errorf("%d went before their time", n)
			}
			if n := f.trimmed(c, hour); n != 5 {
				f.Errorf("%d of 5 old ones went", n)
			}
			if n := f.trimmed(c, hour.Add(distant+100*time.Hour)); n != 3-c.stay {
				f.Errorf("%d of those from the future were there", n)
			}
		}})
	}
	return list
}
