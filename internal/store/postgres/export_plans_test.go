package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Use is a statement as a store ran it: under which role and claims, with which
// values.
type Use struct {
	Role, Claims string
	Args         []any
}

// Recorder keeps what stores run: of each statement some uses, no two with the
// same role and the same values missing.
type Recorder struct {
	mu    sync.Mutex
	uses  map[string]map[string]Use // by statement, then by kind of use
	ident map[*pgx.Conn]Use         // role and claims of the transaction
}

// NewRecorder returns one that has heard of nothing yet.
func NewRecorder() *Recorder {
	return &Recorder{uses: map[string]map[string]Use{}, ident: map[*pgx.Conn]Use{}}
}

// Statements are those that were run, each with its uses.
func (r *Recorder) Statements() map[string]map[string]Use {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.uses
}

// OpenRecorded is Open with a recorder of all that transactions run.
func OpenRecorded(ctx context.Context, o Options, r *Recorder) (*Store, error) {
	config, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = r
	s, err := dialWith(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (r *Recorder) heard(c *pgx.Conn, query string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch word, _, _ := strings.Cut(query, " "); {
	case query == dress:
		r.ident[c] = Use{Role: fmt.Sprint(args[0]), Claims: fmt.Sprint(args[1])}
		return
	case query == queue, query == numbered, query == fence, strings.Contains(query, "pg_xact_status"):
		return
	case word != "SELECT" && word != "INSERT" && word != "UPDATE" && word != "DELETE" && word != "WITH":
		return
	}
	use := r.ident[c]
	if use.Role == "" { // no transaction of the store
		return
	}
	use.Args = args
	_, kind, _ := strings.Cut(use.Claims, `"berth_role"`)
	kind, _, _ = strings.Cut(use.Role+kind, `","berth_organization":"`)
	for _, a := range args {
		switch a := a.(type) {
		case nil:
			kind += " NULL"
		case string:
			kind += fmt.Sprintf(" %t", a == "")
		case bool:
			kind += fmt.Sprintf(" %t", a)
		case *string:
			kind += fmt.Sprintf(" %t", a == nil)
		}
	}
	if r.uses[query] == nil {
		r.uses[query] = map[string]Use{}
	}
	if _, known := r.uses[query][kind]; !known && len(r.uses[query]) < 12 {
		r.uses[query][kind] = use
	}
}

func (r *Recorder) TraceQueryStart(ctx context.Context, c *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	r.heard(c, d.SQL, d.Args)
	return ctx
}

func (r *Recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *Recorder) TraceBatchStart(ctx context.Context, c *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	for _, q := range d.Batch.QueuedQueries {
		r.heard(c, q.SQL, q.Arguments)
	}
	return ctx
}

func (r *Recorder) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (r *Recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
