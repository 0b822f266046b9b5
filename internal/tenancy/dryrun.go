package tenancy

import (
	"context"
	"errors"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// errDry ends the transaction of an order that was only tried.
var errDry = errors.New("dry run")

// trial runs an order's transaction: for good, or to its end and then undone. So
// a dry run is refused for what the order would be refused for.
type trial struct {
	store   store.Store
	dry     bool
	secrets []store.SecretVersion // that would have been recorded
}

func (t *trial) inTx(ctx context.Context, actor berth.Actor, fn func(store.Tx) error) error {
	if !t.dry {
		return t.store.InTx(ctx, actor, fn)
	}
	err := t.store.InTx(ctx, actor, func(tx store.Tx) error {
		t.secrets = nil
		tx.SecretVersions = keeping{tx.SecretVersions, t}
		if err := fn(tx); err != nil {
			return err
		}
		return errDry
	})
	if errors.Is(err, errDry) {
		return nil
	}
	return err
}

// keeping remembers the secrets of a transaction that will be undone.
type keeping struct {
	store.SecretVersions
	trial *trial
}

func (k keeping) InsertSecret(ctx context.Context, v store.SecretVersion) error {
	k.trial.secrets = append(k.trial.secrets, v)
	return k.SecretVersions.InsertSecret(ctx, v)
}

// foretell adds to a receipt that is on no disk what the order would do.
func (s *Service) foretell(ctx context.Context, r Receipt, secrets []store.SecretVersion) (Receipt, error) {
	if s.preview == nil {
		return Receipt{}, berth.Errorf(berth.CodeNotSupportedYet, "There is no dry run here").WithHint("give the order without dryRun")
	}
	f, err := s.preview.Preview(ctx, r.Tenant, r.Deployment, secrets)
	if err != nil {
		return Receipt{}, err
	}
	r.Forecast = &f
	return r, nil
}
