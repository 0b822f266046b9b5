package postgres

import (
	"context"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// Organizations, users and memberships are read through views and written
// through functions of the schema, because the tables behind them may be another
// program's, with other columns.

const organizationColumns = `id, name, self_service, created_at`

// PutOrganization implements store.Organizations.
func (t *tx) PutOrganization(ctx context.Context, o berth.Organization) error {
	if err := t.MayWrite(""); err != nil {
		return err
	}
	_, err := t.exec(ctx, `SELECT berth.put_organization($1, $2, $3, $4)`, o.ID, o.Name, int(o.SelfService), stamp(o.CreatedAt))
	return fault(ctx, err, "write organization")
}

// knowOrganization stores the organization of a new tenant if it is not known.
func (t *tx) knowOrganization(ctx context.Context, n berth.Tenant) error {
	_, err := t.exec(ctx, `SELECT berth.know_organization($1, $2, $3)`, n.OrganizationID, n.Name, stamp(n.CreatedAt))
	return fault(ctx, err, "write organization")
}

// Organization implements store.Organizations.
func (t *tx) Organization(ctx context.Context, id string) (berth.Organization, error) {
	var o berth.Organization
	ok, err := t.one(ctx, row.OrganizationColumns(&o), `SELECT `+organizationColumns+` FROM berth.organizations WHERE id = $1`, uuidOrNull(id))
	if err != nil {
		return berth.Organization{}, fault(ctx, err, "read organization")
	}
	if !ok || !t.MaySee(o.ID) {
		return berth.Organization{}, row.NoOrganization(id)
	}
	return o, nil
}

// ListOrganizations implements store.Organizations.
func (t *tx) ListOrganizations(ctx context.Context, p store.Page) ([]berth.Organization, string, error) {
	w, err := row.OpenWindow("organizations", p)
	if err != nil {
		return nil, "", err
	}
	after, err := afterID(w)
	if err != nil {
		return nil, "", err
	}
	read := page[berth.Organization]{Window: w, scan: byKey(row.OrganizationColumns, func(o berth.Organization) string { return o.ID })}
	if s := t.Scope(); s.All {
		read.query = `SELECT ` + organizationColumns + ` FROM berth.organizations
			WHERE id = ANY (ARRAY(SELECT berth.organizations_after($1, $2))) ORDER BY id`
		read.args = []any{after}
	} else {
		read.query = `SELECT ` + organizationColumns + ` FROM berth.organizations WHERE id = $1 AND id > $2 LIMIT $3`
		read.args = []any{uuidOrNull(s.OrganizationID), after}
	}
	return read.read(ctx, t)
}
