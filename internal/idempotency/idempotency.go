// Package idempotency has a request under a key done once, and answered the same
// whenever it is repeated.
//
//	free ──claim──▶ claimed ──done────▶ answered  repeated: the first answer
//	  ▲                │  ├──pending──▶ claimed   repeated: the answer as it stands
//	  └────refused─────┘  └──cut off──▶ claimed   repeated: see First
//
// An order claims its key in the transaction that records it, so that both are on
// disk or neither. Any other mutation claims it in a transaction of its own before
// it begins. From there on both are the same.
package idempotency

import (
	"bytes"
	"context"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Secrets encrypts answers that hold a secret. ad binds a ciphertext to its place.
type Secrets interface {
	Seal(plaintext []byte, ad string) (ciphertext []byte, err error)
	Open(ciphertext []byte, ad string) (plaintext []byte, err error)
}

// Request is a mutation under a key. Keys are an actor's own: another's are other
// keys.
type Request struct {
	Key         string // "": it is done each time
	Fingerprint []byte // of what it asks for: anything else under the same key is refused
	Order       bool   // it claims its key itself, with Claim
	Sealed      bool   // its answer holds a secret
}

// Answer is what a request was answered with.
type Answer struct {
	Status int
	Body   []byte
}

// End says how far a request came.
type End int

const (
	Done    End = iota // the answer is final
	Pending            // it goes on; its end will be another answer
	Refused            // it changed nothing
	Unknown            // nobody knows what it changed
)

// First is the request that a key was used for before.
type First struct {
	DeploymentID string  // the order that it was; "" for another mutation
	Answer       *Answer // nil for an order that was not answered to its end: the deployment tells as much
}

// Requests remembers what was asked for under a key. Its methods may be called
// concurrently.
type Requests struct {
	store   store.Store
	secrets Secrets
	now     func() time.Time
}

// New returns Requests.
func New(s store.Store, secrets Secrets, now func() time.Time) *Requests {
	return &Requests{s, secrets, now}
}

// First returns the request that the key was used for before; nil if the key is
// free. A crash or an error may have come between a claim and its answer: then an
// order has its deployment to answer from, and of any other request nobody knows
// whether it did anything, so that it is refused.
func (r *Requests) First(ctx context.Context, tx store.Requests, actor berth.Actor, q Request) (*First, error) {
	if q.Key == "" {
		return nil, nil
	}
	was, used, err := tx.Request(ctx, q.Key)
	switch {
	case err != nil || !used || was.Released():
		return nil, err
	case !bytes.Equal(was.Fingerprint, q.Fingerprint):
		return nil, berth.Errorf(berth.CodeIdempotencyMismatch, "Idempotency-Key was used for another request").
			WithField("Idempotency-Key").WithHint("use a new key for each new request; repeat a request unchanged under its own key")
	case was.Status == 0 && was.DeploymentID == "":
		return nil, berth.Errorf(berth.CodeUnanswered, "The first request with this Idempotency-Key was not answered").WithField("Idempotency-Key").
			WithHint("it may still be under way, or it was cut off: look whether what it asked for is there, and if not, ask with a new key")
	case was.Status == 0:
		return &First{DeploymentID: was.DeploymentID}, nil
	}
	a := &Answer{was.Status, was.Answer}
	if q.Sealed {
		if a.Body, err = r.secrets.Open(was.Answer, berth.RequestContext(actor.ID, q.Key)); err != nil {
			return nil, berth.Errorf(berth.CodeUnanswered, "The first answer can't be opened any more: %w", err).WithField("Idempotency-Key").
				WithHint("what it asked for was done; look for it, and revoke or remove it if its secret is lost")
		}
	}
	return &First{was.DeploymentID, a}, nil
}

// Claim takes the key of an order, in the transaction that records it.
func (r *Requests) Claim(ctx context.Context, tx store.Requests, q Request, deploymentID string) error {
	if q.Key == "" {
		return nil
	}
	return tx.PutRequest(ctx, store.Request{Key: q.Key, Fingerprint: q.Fingerprint, DeploymentID: deploymentID, CreatedAt: r.now()})
}

// Do has run do a request unless it was done before, and returns the answer. An
// error beside an answer says that it could not be stored: the work is done, and
// the answer is due.
func (r *Requests) Do(ctx context.Context, actor berth.Actor, q Request, run func() (Answer, End)) (*Answer, error) {
	if q.Key != "" && !q.Order {
		first, err := r.claim(ctx, actor, q)
		if err != nil {
			return nil, err
		}
		if first != nil {
			return first.Answer, nil
		}
	}
	a, end := run()
	if q.Key == "" || end == Pending || end == Unknown || end == Refused && q.Order {
		return &a, nil
	}
	return &a, r.finish(ctx, actor, q, a, end)
}

// keeper is who keeps an actor's requests: Berth does, under the actor's id. What
// the actor may do, the request itself decides.
func keeper(actor berth.Actor) berth.Actor {
	return berth.Actor{ID: actor.ID, Role: berth.RoleSystem}
}

func (r *Requests) claim(ctx context.Context, actor berth.Actor, q Request) (first *First, err error) {
	err = r.store.InTx(ctx, keeper(actor), func(tx store.Tx) error {
		if first, err = r.First(ctx, tx, actor, q); err != nil || first != nil {
			return err
		}
		return r.Claim(ctx, tx, q, "")
	})
	return first, err
}

// finish stores the answer to a claimed request; of one that was refused it leaves
// nothing. What is answered already, or another's, stays.
func (r *Requests) finish(ctx context.Context, actor berth.Actor, q Request, a Answer, end End) (err error) {
	body := a.Body
	if q.Sealed && end == Done {
		if body, err = r.secrets.Seal(a.Body, berth.RequestContext(actor.ID, q.Key)); err != nil {
			return err
		}
	}
	return r.store.InTx(ctx, keeper(actor), func(tx store.Tx) error {
		is, claimed, err := tx.Request(ctx, q.Key)
		if err != nil || !claimed || is.Status != 0 || !bytes.Equal(is.Fingerprint, q.Fingerprint) {
			return err
		}
		if end == Refused {
			return tx.DropRequest(ctx, q.Key)
		}
		is.Status, is.Answer = a.Status, body
		return tx.PutRequest(ctx, is)
	})
}
