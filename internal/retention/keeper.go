// Package retention drops what is over, by the rules of docs/retention.md:
// deployments beyond a number, tenants that were removed long ago, the secret
// versions that only those referred to, and sessions, invitations and tokens that
// ended. What is measured and told has keepers of its own (health, meter, notify).
package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

const (
	afterStart = time.Minute // before the first round: a start has more urgent things to do
	every      = time.Hour   // between rounds
	searched   = 1000        // deployments that are looked through for the way back
	page       = 10_000      // ids that are held at a time
)

// Config says what is kept. Zero is for ever.
type Config struct {
	Deployments int           // the newest of each organization
	Removed     time.Duration // tombstones, with all that was recorded of the tenant
	Access      time.Duration // sessions, invitations and tokens, after their end
}

// Keeper is one for all engines. It keeps no state: what a crash cut short is found
// again by the next round.
type Keeper struct {
	Config
	store store.Store
	log   *slog.Logger
}

// New returns a keeper for Run.
func New(c Config, s store.Store, log *slog.Logger) *Keeper {
	return &Keeper{Config: c, store: s, log: log}
}

// Run drops what is due until ctx ends, and returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	due := time.NewTimer(afterStart)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due.C:
		}
		if err := k.Round(ctx, time.Now()); err != nil && ctx.Err() == nil {
			k.log.Warn("not everything that is over was dropped; tried again in an hour", "error", err)
		}
		due.Reset(every)
	}
}

// Round drops once what is due at now. What fails for one organization holds up no
// other and no other rule.
func (k *Keeper) Round(ctx context.Context, now time.Time) error {
	return errors.Join(k.access(ctx, now), k.deployments(ctx), k.tombstones(ctx, now))
}

func (k *Keeper) access(ctx context.Context, now time.Time) error {
	if k.Access <= 0 {
		return nil
	}
	before := now.Add(-k.Access)
	var errs []error
	for _, forget := range []func(tx store.Tx, limit int) (int, error){
		func(tx store.Tx, limit int) (int, error) { return tx.ForgetSessions(ctx, before, limit) },
		func(tx store.Tx, limit int) (int, error) { return tx.ForgetInvitations(ctx, before, limit) },
		func(tx store.Tx, limit int) (int, error) { return tx.ForgetTokens(ctx, before, limit) },
	} {
		errs = append(errs, store.Forget(ctx, k.store, forget))
	}
	return errors.Join(errs...)
}

func (k *Keeper) deployments(ctx context.Context) error {
	if k.Deployments <= 0 {
		return nil
	}
	var long []string
	err := k.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		long, err = tx.LongHistories(ctx, k.Deployments)
		return err
	})
	errs := []error{err}
	for _, org := range long {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, of(org, k.history(ctx, org)))
	}
	return errors.Join(errs...)
}

// of says whose an error is; nil stays nil.
func of(org string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("tenant %s: %w", org, err)
}

// history drops what is too much of one organization's. It is looked for in snapshots,
// which hold no writer, however long the history is. The oldest deployment that is due
// goes last, together with what only it referred to: until then the next round finds
// that there is something to do.
func (k *Keeper) history(ctx context.Context, org string) error {
	for {
		due, err := k.surplus(ctx, org)
		if err != nil || len(due.Among) == 0 {
			return err
		}
		if len(due.Among) == 1 {
			return k.oldest(ctx, due)
		}
		_, err = store.InBatches(ctx, k.store, due.Among[:len(due.Among)-1], func(tx store.Tx, part []string) error {
			some := due
			some.Among = part
			return drop(ctx, tx, some)
		})
		if err != nil {
			return err
		}
	}
}

// surplus asks about a page of what is too much: its Among, the newest first.
func (k *Keeper) surplus(ctx context.Context, org string) (due store.Surplus, err error) {
	due = store.Surplus{OrganizationID: org, Keep: k.Deployments, Limit: page}
	err = k.store.View(ctx, berth.System(), func(tx store.Tx) error {
		spare, err := wayBack(ctx, tx, org)
		if err != nil {
			return err
		}
		due.Spare, due.Among = spare, nil
		due.Among, err = tx.SurplusDeployments(ctx, due)
		return err
	})
	return due, err
}

// drop drops a few that are due. What was too much in a snapshot may be needed since: a
// rollback to it may have been ordered.
func drop(ctx context.Context, tx store.Histories, due store.Surplus) error {
	due.Limit = len(due.Among)
	still, err := tx.SurplusDeployments(ctx, due)
	if err != nil {
		return err
	}
	return tx.DropDeployments(ctx, still)
}

// oldest drops the last deployment that is due, and the secret versions.
func (k *Keeper) oldest(ctx context.Context, due store.Surplus) error {
	if err := k.secrets(ctx, due.OrganizationID); err != nil {
		return err
	}
	return k.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if err := drop(ctx, tx, due); err != nil {
			return err
		}
		return dropUnused(ctx, tx, due.OrganizationID)
	})
}

// tenantRecord is a tenant and what it ran.
type tenantRecord interface {
	Tenant(ctx context.Context, ref string) (berth.Tenant, error)
	ListDeployments(ctx context.Context, organizationID string, p store.Page) (page []berth.Deployment, next string, err error)
}

// wayBack returns the deployments that a rollback of the living tenant goes by.
func wayBack(ctx context.Context, tx tenantRecord, org string) ([]string, error) {
	t, err := tx.Tenant(ctx, org)
	if berth.Is(err, berth.CodeContainerNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	history, _, err := tx.ListDeployments(ctx, org, store.Page{Limit: searched})
	if err != nil {
		return nil, err
	}
	own := history[:0]
	for _, d := range history {
		if d.TenantID == t.ID {
			own = append(own, d)
		}
	}
	return berth.RollbackNeeds(own), nil
}

// secrets drops the versions of an organization that nothing refers to. They are
// looked for in snapshots, which hold no writer: what nothing refers to stays so.
func (k *Keeper) secrets(ctx context.Context, org string) error {
	for {
		var unused []string
		err := k.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
			unused, err = tx.UnusedSecrets(ctx, org, page)
			return err
		})
		if err != nil || len(unused) == 0 {
			return err
		}
		_, err = store.InBatches(ctx, k.store, unused, func(tx store.Tx, part []string) error { return tx.DropSecrets(ctx, part) })
		if err != nil {
			return err
		}
	}
}

// dropUnused is secrets within a transaction, for the few that are left.
func dropUnused(ctx context.Context, tx store.Histories, org string) error {
	unused, err := tx.UnusedSecrets(ctx, org, page)
	if err != nil {
		return err
	}
	return tx.DropSecrets(ctx, unused)
}

func (k *Keeper) tombstones(ctx context.Context, now time.Time) error {
	if k.Removed <= 0 {
		return nil
	}
	before := now.Add(-k.Removed)
	var old []store.Removed
	err := k.store.View(ctx, berth.System(), func(tx store.Tx) (err error) {
		old, err = tx.OldTombstones(ctx, before)
		return err
	})
	errs := []error{err}
	for _, r := range old {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, of(r.OrganizationID, k.tombstone(ctx, r, before)))
	}
	return errors.Join(errs...)
}

// tombstone drops all that there is of a removed tenant, its row last: as long as
// that is there, the next round goes on.
func (k *Keeper) tombstone(ctx context.Context, r store.Removed, before time.Time) error {
	err := store.Forget(ctx, k.store, func(tx store.Tx, limit int) (int, error) { return tx.EmptyTombstone(ctx, r, before, limit) })
	if err == nil {
		err = k.secrets(ctx, r.OrganizationID)
	}
	if err != nil {
		return err
	}
	return k.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if err := tx.DropTombstone(ctx, r, before); err != nil {
			return err
		}
		return dropUnused(ctx, tx, r.OrganizationID)
	})
}
