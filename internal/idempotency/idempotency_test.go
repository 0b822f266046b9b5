package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/idempotency"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const org = "550e8400-e29b-41d4-a716-446655440001"

var (
	noon  = time.Date(2026, 2, 28, 12, 30, 0, 0, time.UTC)
	actor = berth.Actor{ID: "ops", Role: berth.RoleOperator}
)

// mirror seals by writing backwards, and opens nothing that was sealed elsewhere.
type mirror struct{}

func (mirror) Seal(plain []byte, ad string) ([]byte, error) {
	return append([]byte(ad+"|"), backwards(plain)...), nil
}

func (mirror) Open(sealed []byte, ad string) ([]byte, error) {
	rest, ok := bytes.CutPrefix(sealed, []byte(ad+"|"))
	if !ok {
		return nil, errors.New("sealed elsewhere")
	}
	return backwards(rest), nil
}

func backwards(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}

type world struct {
	t        *testing.T
	store    store.Store
	requests *idempotency.Requests
	runs     int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, store: s, requests: idempotency.New(s, mirror{}, func() time.Time { return noon })}
	w.tx(berth.System(), func(ctx context.Context, tx store.Tx) error {
		tenant := berth.Tenant{
			ID: "t", OrganizationID: org, Name: "One", Slug: "one", EngineID: "e", Subnet: netip.MustParsePrefix("10.64.0.0/28"), ExternalPort: 3001,
			Want: berth.WantRunning, Spec: berth.Spec{ImageTag: "v1", Blueprint: "single@1", Limits: berth.DefaultLimits(), Replicas: 1, InternalPort: 3000},
			Generation: 1, Status: berth.StatusRunning, Health: berth.HealthHealthy, CreatedAt: noon, UpdatedAt: noon,
		}
		if err := tx.InsertTenant(ctx, tenant); err != nil {
			return err
		}
		return tx.InsertDeployment(ctx, berth.Deployment{
			ID: "d", TenantID: "t", OrganizationID: org, Type: berth.DeployStop, Status: berth.DeploymentPending,
			Volumes: berth.VolumesKeep, New: tenant.Spec, Want: berth.WantStopped, Generation: 1, CreatedAt: noon,
		})
	})
	return w
}

func (w *world) tx(as berth.Actor, f func(ctx context.Context, tx store.Tx) error) {
	w.t.Helper()
	if err := w.store.InTx(w.t.Context(), as, func(tx store.Tx) error { return f(w.t.Context(), tx) }); err != nil {
		w.t.Fatal(err)
	}
}

func request(order, sealed bool) idempotency.Request {
	return idempotency.Request{Key: "k", Fingerprint: []byte("f"), Order: order, Sealed: sealed}
}

// ask has a request done as an API does: an order finds out by itself whether it
// was done before, and claims its key with what it records.
func (w *world) ask(q idempotency.Request, a idempotency.Answer, end idempotency.End) (*idempotency.Answer, error) {
	return w.requests.Do(w.t.Context(), actor, q, func() (idempotency.Answer, idempotency.End) {
		if !q.Order {
			w.runs++
			return a, end
		}
		var first *idempotency.First
		err := w.store.InTx(w.t.Context(), actor, func(tx store.Tx) (err error) {
			if first, err = w.requests.First(w.t.Context(), tx, actor, q); err != nil || first != nil || end == idempotency.Refused {
				return err
			}
			w.runs++
			return w.requests.Claim(w.t.Context(), tx, q, "d")
		})
		switch {
		case err != nil:
			return idempotency.Answer{Status: 422, Body: []byte(berth.CodeOf(err))}, idempotency.Refused
		case first != nil && first.Answer != nil:
			return *first.Answer, idempotency.Done
		}
		return a, end
	})
}

// What the first call came to, and what its repetition gets and does.
func TestARepetitionGetsWhatTheFirstCallCameTo(t *testing.T) {
	t.Parallel()
	const first, second = "first", "second"
	for what, c := range map[string]struct {
		order, sealed bool
		end           idempotency.End
		runs          int
		body          string // "" for CodeUnanswered
	}{
		"another mutation, done":                 {false, false, idempotency.Done, 1, first},
		"another mutation, done with a secret":   {false, true, idempotency.Done, 1, first},
		"another mutation, refused":              {false, false, idempotency.Refused, 2, second},
		"another mutation, refused for a secret": {false, true, idempotency.Refused, 2, second},
		"another mutation, unknown or cut off":   {false, false, idempotency.Unknown, 1, ""},
		"an order, done":                         {true, false, idempotency.Done, 1, first},
		"an order, under way":                    {true, false, idempotency.Pending, 1, second},
		"an order, refused":                      {true, false, idempotency.Refused, 1, second},
		"an order, its answer cut off":           {true, false, idempotency.Unknown, 1, second},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			q := request(c.order, c.sealed)
			if a, err := w.ask(q, idempotency.Answer{Status: 201, Body: []byte(first)}, c.end); err != nil || string(a.Body) != first {
				t.Fatal(a, err)
			}
			for range 2 { // whatever it came to, it stays so
				a, err := w.ask(q, idempotency.Answer{Status: 200, Body: []byte(second)}, idempotency.Done)
				switch {
				case c.body == "":
					if !berth.Is(err, berth.CodeUnanswered) || a != nil {
						t.Errorf("%v %v", a, err)
					}
				case err != nil || string(a.Body) != c.body:
					t.Errorf("%v %v", a, err)
				}
			}
			if w.runs != c.runs {
				t.Errorf("done %d times", w.runs)
			}
		})
	}
}

// Who may do nothing is refused as often as they like, and must not fill the store.
func TestARefusedRequestLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stored := func() (is bool) {
		t.Helper()
		if err := w.store.View(t.Context(), actor, func(tx store.Tx) (err error) {
			_, is, err = tx.Request(t.Context(), "k")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return is
	}
	for _, sealed := range []bool{false, true} {
		if a, err := w.ask(request(false, sealed), idempotency.Answer{Status: 403}, idempotency.Refused); err != nil || a.Status != 403 || stored() {
			t.Errorf("%v %v, stored: %t", a, err, stored())
		}
	}
	corrected := request(false, false)
	corrected.Fingerprint = []byte("g")
	if a, err := w.ask(corrected, idempotency.Answer{Status: 201}, idempotency.Done); err != nil || a.Status != 201 || !stored() {
		t.Errorf("corrected: %v %v, stored: %t", a, err, stored())
	}
}

// A Berth of before stored a refused request, with an empty fingerprint.
func TestAKeyThatWasFreedByAnEarlierBerthIsFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tx(actor, func(ctx context.Context, tx store.Tx) error {
		return tx.PutRequest(ctx, store.Request{Key: "k", Fingerprint: []byte{}, CreatedAt: noon})
	})
	if a, err := w.ask(request(false, false), idempotency.Answer{Status: 201}, idempotency.Done); err != nil || a.Status != 201 || w.runs != 1 {
		t.Errorf("%v %v, done %d times", a, err, w.runs)
	}
}

func TestAnotherRequestUnderAKeyIsRefusedAndFreesNothing(t *testing.T) {
	t.Parallel()
	for _, order := range []bool{false, true} {
		w := newWorld(t)
		if _, err := w.ask(request(false, false), idempotency.Answer{}, idempotency.Unknown); err != nil {
			t.Fatal(err)
		}
		other := request(order, false)
		other.Fingerprint = []byte("g")
		if a, err := w.ask(other, idempotency.Answer{}, idempotency.Done); !berth.Is(err, berth.CodeIdempotencyMismatch) && (a == nil || string(a.Body) != string(berth.CodeIdempotencyMismatch)) {
			t.Errorf("%v %v", a, err)
		}
		if _, err := w.ask(request(false, false), idempotency.Answer{}, idempotency.Done); !berth.Is(err, berth.CodeUnanswered) || w.runs != 1 {
			t.Errorf("the first request: %v, done %d times", err, w.runs)
		}
	}
}

func TestAnAnswerWithASecretThatDoesNotOpenIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.ask(request(false, true), idempotency.Answer{Status: 201, Body: []byte("secret")}, idempotency.Done); err != nil {
		t.Fatal(err)
	}
	keeper := berth.Actor{ID: actor.ID, Role: berth.RoleSystem}
	w.tx(keeper, func(ctx context.Context, tx store.Tx) error {
		r, ok, err := tx.Request(ctx, "k")
		if err != nil || !ok || bytes.Contains(r.Answer, []byte("secret")) {
			t.Fatalf("stored in clear: %s, %v %v", r.Answer, ok, err)
		}
		r.Answer = []byte("another place|terces")
		return tx.PutRequest(ctx, r)
	})
	if _, err := w.ask(request(false, true), idempotency.Answer{}, idempotency.Done); !berth.Is(err, berth.CodeUnanswered) || w.runs != 1 {
		t.Errorf("%v, done %d times", err, w.runs)
	}
}
