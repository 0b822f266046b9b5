package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

const (
	dialTimeout    = 5 * time.Second
	cancelPatience = 500 * time.Millisecond // for the server's answer, once a context has ended
	commitTimeout  = 10 * time.Second       // for the answer to COMMIT, before it is asked for another way
)

// The server ends what stops. A writer holds up all others, a reader only
// what clears away old rows.
const (
	writerStops   = "2s"
	readerStops   = "60s"
	longStatement = "30s"
	longWait      = "15s" // for the writers before, or a lock
)

// The two roles that transactions take.
const (
	roleAPI    = "berth_api"
	roleSystem = "berth_system"
)

// order is what a transaction is asked for.
type order struct {
	actor  berth.Actor
	writes bool
	store  string       // the id of the Store
	lease  *store.Lease // under which it writes; nil for who needs none
}

// claims are what row-level security goes by. It has no other source.
type claims struct {
	Subject      string `json:"sub"`
	Role         string `json:"role"`
	BerthRole    string `json:"berth_role"`
	Organization string `json:"berth_organization,omitempty"`
}

// identity returns the role and the claims of an actor. Without claims,
// berth_api sees nothing.
func identity(a berth.Actor) (role, claim string) {
	switch {
	case a.Role == berth.RoleSystem && a.OrganizationID == "":
		return roleSystem, ""
	case !a.Everywhere() && !a.MaySee(a.OrganizationID):
		return roleAPI, ""
	}
	text, err := json.Marshal(claims{a.ID, roleAPI, string(a.Role), a.OrganizationID})
	if err != nil { // of four strings: can't be
		return roleAPI, ""
	}
	return roleAPI, string(text)
}

const (
	beginView  = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	beginWrite = `BEGIN ISOLATION LEVEL READ COMMITTED`

	// All of it ends with the transaction, so that a pooler can't hand it on. A
	// commit that is acknowledged is on disk, whatever the server's default.
	dress = `SELECT set_config('role', $1, true), set_config('request.jwt.claims', $2, true),
		set_config('idle_in_transaction_session_timeout', $3, true), set_config('statement_timeout', $4, true),
		set_config('lock_timeout', $5, true),
		CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END`

	// Every statement after it sees what the writers before have committed.
	queue = `SELECT berth.queue_writers()`

	// The number under which the outcome can be asked for, and the server's run
	// that gave it.
	numbered = `SELECT pg_current_xact_id()::text, ` + serverRun

	// A run ends with a crash, which the server notes by forgetting its
	// statistics, and with a standby that takes over, which begins a timeline.
	// After either, a number whose transaction left no trace is given once more.
	serverRun = `concat_ws('/', left(pg_walfile_name(pg_current_wal_lsn()), 8), pg_stat_get_bgwriter_stat_reset_time())`

	// A takeover waits for the lock, and so for the commit; a renewal does not,
	// because it changes no key.
	fence = `SELECT count(*) FROM (SELECT FROM berth.engine_leases
		WHERE engine_id = $1 AND holder = $2 AND fence = $3 AND expires_at > clock_timestamp() FOR KEY SHARE) held`
)

// start begins a transaction in one round trip.
func start(ctx context.Context, c *pgx.Conn, o order) (*tx, error) {
	role, claim := identity(o.actor)
	t := &tx{Access: row.Access{Actor: o.actor, Writes: o.writes}, conn: c, store: o.store}
	b := &pgx.Batch{}
	stops := readerStops
	if o.writes {
		stops = writerStops
		b.Queue(beginWrite)
	} else {
		b.Queue(beginView)
	}
	b.Queue(dress, role, claim, stops, longStatement, longWait)
	led := int64(1)
	if o.writes {
		b.Queue(queue)
		b.Queue(numbered).QueryRow(func(row pgx.Row) error { return row.Scan(&t.xid, &t.run) })
	}
	if o.lease != nil {
		b.Queue(fence, o.lease.EngineID, o.lease.Holder, o.lease.Fence).QueryRow(func(row pgx.Row) error { return row.Scan(&led) })
	}
	if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
		return t, t.note(err)
	}
	if led == 0 {
		return t, errNotLeading(o.lease.EngineID)
	}
	return t, nil
}
