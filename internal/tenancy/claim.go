package tenancy

import (
	"bytes"
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// Claim is a mutation with an idempotency key that is no order: what it changes
// and its key are not in one transaction.
type Claim struct {
	Key         string
	Fingerprint []byte // of method, path and body
	Sealed      bool   // the answer holds a secret
}

// Answer is what a mutation was answered with.
type Answer struct {
	Status int
	Body   []byte
}

// claimant is who keeps an actor's claims: Berth does, under the actor's id.
// What the actor may do is decided by the mutation itself.
func claimant(actor berth.Actor) berth.Actor {
	return berth.Actor{ID: actor.ID, Role: berth.RoleSystem}
}

// Claim takes a key for a request. If the key was used for the same request
// before, it returns the first answer; a request that was never answered is
// refused, because nobody knows whether it did anything.
func (s *Service) Claim(ctx context.Context, actor berth.Actor, c Claim) (*Answer, error) {
	var first store.Request
	var used bool
	err := s.store.InTx(ctx, claimant(actor), func(tx store.Tx) (err error) {
		if first, used, err = tx.Request(ctx, c.Key); err != nil {
			return err
		}
		if used = used && !first.Released(); used {
			return nil
		}
		return tx.PutRequest(ctx, store.Request{Key: c.Key, Fingerprint: c.Fingerprint, CreatedAt: s.now()})
	})
	switch {
	case err != nil || !used:
		return nil, err
	case !bytes.Equal(first.Fingerprint, c.Fingerprint):
		return nil, KeyReused()
	case first.Status == 0:
		return nil, berth.Errorf(berth.CodeUnanswered, "The first request with this Idempotency-Key was not answered").WithField("Idempotency-Key").
			WithHint("it may still be under way, or it was cut off: look whether what it asked for is there, and if not, ask with a new key")
	}
	a := &Answer{Status: first.Status, Body: first.Answer}
	if c.Sealed {
		if a.Body, err = s.secrets.Open(first.Answer, berth.RequestContext(actor.ID, c.Key)); err != nil {
			return nil, berth.Errorf(berth.CodeUnanswered, "The first answer can't be opened any more: %w", err).WithField("Idempotency-Key").
				WithHint("what it asked for was done; look for it, and revoke or remove it if its secret is lost")
		}
	}
	return a, nil
}

// Settle stores the final answer to a claimed request, to be repeated byte for
// byte.
func (s *Service) Settle(ctx context.Context, actor berth.Actor, c Claim, a Answer) (err error) {
	body := a.Body
	if c.Sealed {
		if body, err = s.secrets.Seal(a.Body, berth.RequestContext(actor.ID, c.Key)); err != nil {
			return err
		}
	}
	return s.put(ctx, actor, store.Request{Key: c.Key, Fingerprint: c.Fingerprint, Status: a.Status, Answer: body, CreatedAt: s.now()})
}

// Release frees the key of a claimed request that was refused.
func (s *Service) Release(ctx context.Context, actor berth.Actor, c Claim) error {
	return s.put(ctx, actor, store.Request{Key: c.Key, Fingerprint: []byte{}, CreatedAt: s.now()})
}

func (s *Service) put(ctx context.Context, actor berth.Actor, r store.Request) error {
	return s.store.InTx(ctx, claimant(actor), func(tx store.Tx) error { return tx.PutRequest(ctx, r) })
}
