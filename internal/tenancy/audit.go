package tenancy

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/action"
	"github.com/unite-hub/berth/internal/store"
)

// auditPage is how many entries are read at once where all are.
const auditPage = 500

// Audit returns a page of the audit. An actor of one organization reads that
// one's chain. Of a list that is narrowed a page may be short, or empty, and not be
// the last: next says so.
func (s *Service) Audit(ctx context.Context, actor berth.Actor, f store.AuditFilter) (page []berth.AuditEntry, next string, err error) {
	err = s.store.View(ctx, actor, func(tx store.Tx) error {
		if err := auditOf(ctx, tx, actor, &f); err != nil {
			return err
		}
		page, next, err = tx.ListAudit(ctx, f)
		return err
	})
	return page, next, err
}

// auditOf refuses an actor who may not read what is asked for, and brings the
// organization's id in order.
func auditOf(ctx context.Context, tx store.Organizations, actor berth.Actor, f *store.AuditFilter) error {
	if f.Everything || f.OrganizationID == "" {
		return authoriseInstallation(actor, action.Audit)
	}
	o, err := knownOrganization(ctx, tx, f.OrganizationID)
	if err != nil {
		return err
	}
	f.OrganizationID = o.ID
	return authorise(ctx, tx, actor, action.OrganizationAudit, o.ID)
}

func knownOrganization(ctx context.Context, tx store.Organizations, text string) (berth.Organization, error) {
	id, err := berth.ParseOrganizationID(text)
	if err != nil {
		return berth.Organization{}, err
	}
	return tx.Organization(ctx, id)
}

// AuditVerdict is what a walk along a chain found.
type AuditVerdict struct {
	Entries     int64  // that are intact, from the first on
	Head        []byte // hash of the last of these
	FirstBroken int64  // place of the first that is not; 0: none
}

// VerifyAudit walks along a chain: an organization's, or with "" the
// installation's. That entries were taken off its end shows only beside a head
// that was kept elsewhere.
func (s *Service) VerifyAudit(ctx context.Context, actor berth.Actor, organizationID string) (v AuditVerdict, err error) {
	f := store.AuditFilter{OrganizationID: organizationID, Ascending: true, Page: store.Page{Limit: auditPage}}
	var last *berth.AuditEntry
	for {
		page, next, err := s.Audit(ctx, actor, f)
		if err != nil {
			return v, err
		}
		for _, e := range page {
			if !e.Follows(last) {
				v.FirstBroken = v.Entries + 1
				return v, nil
			}
			v.Entries, v.Head, last = e.Seq, e.Hash, &e
		}
		if f.Cursor = next; next == "" {
			return v, nil
		}
	}
}

// Deny records an attempt that was denied, in the organization's chain, or with
// "" in the installation's. One that is not there, which whoever sees all can
// name, has no chain: nobody could read it.
func (s *Service) Deny(ctx context.Context, e berth.AuditEntry) error {
	e.ID, e.At, e.Outcome = berth.NewID(), s.now(), berth.AuditDenied
	return s.store.InTx(ctx, berth.System(), func(tx store.Tx) error {
		if e.OrganizationID != "" {
			_, err := tx.Organization(ctx, e.OrganizationID)
			if berth.Is(err, berth.CodeOrganizationNotFound) {
				e.OrganizationID, err = "", nil
			}
			if err != nil {
				return err
			}
		}
		return tx.AppendAudit(ctx, &e)
	})
}
