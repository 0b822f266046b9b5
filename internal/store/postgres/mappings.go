package postgres

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
)

// mapping is where a table of the seam is kept here.
type mapping struct {
	table   string
	renamed map[string]string // columns that have another name here
	put     string            // statements that take rows from pg_temp.incoming as berth_system; "" to write into the table
	there   string            // finds one of these rows that must not be there yet
	own     string            // condition for the rows that were put; "" for all
	role    string            // that reads the table; "" for its owner
}

// mappings are those that differ from schema berth under the same names. Of
// organizations and users, what Berth itself keeps is filled and read back; the
// tables below may be other programs', and what is in them stays.
var mappings = map[string]mapping{
	"organizations": {
		table: "berth.organization_settings", renamed: map[string]string{"id": "organization_id"},
		put: `SELECT berth.know_organization(organization_id, name, created_at) FROM pg_temp.incoming;
			INSERT INTO berth.organization_settings (organization_id, name, self_service, created_at)
			SELECT organization_id, name, self_service, created_at FROM pg_temp.incoming`,
	},
	"users": {
		table: "berth.user_settings", renamed: map[string]string{"id": "user_id", "email_key": "email_folded"},
		put: `SELECT berth.put_user(user_id, email, email_folded, name, operator, created_at, disabled_at) FROM pg_temp.incoming`,
	},
	"memberships": {
		table: "berth.memberships", role: roleSystem,
		put: `SELECT berth.put_membership(user_id, organization_id, role, created_at) FROM pg_temp.incoming`,
		there: `SELECT 'user ' || i.user_id || ' in organization ' || i.organization_id
			FROM pg_temp.incoming i JOIN pg_temp.theirs t USING (user_id, organization_id) LIMIT 1`,
		own: `(user_id, organization_id) NOT IN (SELECT user_id, organization_id FROM pg_temp.theirs)`,
	},
	"tenant_containers":     {table: "public.tenant_containers", renamed: map[string]string{"created_by": "created_by_actor"}},
	"tenant_deployments":    {table: "public.tenant_deployments", renamed: map[string]string{"deployed_by": "deployed_by_actor"}},
	"tenant_health":         {table: "public.tenant_health"},
	"tenant_resource_usage": {table: "public.tenant_resource_usage"},
	"audit_log":             {table: "berth.audit_log", renamed: map[string]string{"seq": "written", "chain_seq": "seq", "occurred_at": "at"}},
}

func mappingOf(t store.Table) mapping {
	if p, ok := mappings[t.Name]; ok {
		return p
	}
	return mapping{table: "berth." + t.Name}
}

func (p mapping) column(name string) string {
	if other, ok := p.renamed[name]; ok {
		return other
	}
	return name
}

// columns are the names that the columns of t have here.
func (p mapping) columns(t store.Table) []string {
	names := make([]string, 0, len(t.Columns))
	for _, c := range t.Columns {
		names = append(names, p.column(c.Name))
	}
	return names
}

// query reads all rows of t as text.
func (p mapping) query(t store.Table) string {
	list := make([]string, 0, len(t.Columns))
	for _, c := range t.Columns {
		name := pgx.Identifier{p.column(c.Name)}.Sanitize()
		switch c.Kind {
		case store.KindTime:
			name = `to_char(` + name + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
		case store.KindBytes:
			name = `encode(` + name + `, 'hex')`
		default:
			name += `::text`
		}
		list = append(list, name)
	}
	query := `SELECT ` + strings.Join(list, ", ") + ` FROM ` + p.table
	if p.own != "" {
		query += ` WHERE ` + p.own
	}
	if t.Order != "" {
		query += ` ORDER BY ` + pgx.Identifier{p.column(t.Order)}.Sanitize()
	}
	return query
}

// canonical appends what query read of a column.
func canonical(dst []byte, k store.Kind, raw []byte) ([]byte, error) {
	switch k {
	case store.KindJSON, store.KindCenti:
		return store.Canonical(dst, k, string(raw))
	case store.KindScopes:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return dst, err
		}
		return store.Canonical(dst, k, n)
	}
	return append(dst, raw...), nil
}

// copyWriter writes rows as COPY reads them.
type copyWriter struct {
	*bufio.Writer
	table store.Table
}

func newCopyWriter(to io.Writer, t store.Table) copyWriter {
	return copyWriter{bufio.NewWriterSize(to, 64<<10), t}
}

// row writes one row. The first error of the writer below is returned by Flush
// too, so that it need not be looked at here each time.
func (w copyWriter) row(r store.Row) error {
	for i, v := range r {
		if i > 0 {
			_ = w.WriteByte('\t')
		}
		switch kind := w.table.Columns[i].Kind; {
		case v == nil:
			_, _ = w.WriteString(`\N`)
		case kind == store.KindBytes:
			_, _ = w.WriteString(`\\x`)
			_, _ = w.Write(v)
		case kind == store.KindScopes:
			s, err := berth.ParseScopes(strings.Fields(string(v)))
			if err != nil {
				return err
			}
			_, _ = w.WriteString(strconv.Itoa(int(s)))
		default:
			w.text(v)
		}
	}
	return w.WriteByte('\n')
}

func (w copyWriter) text(v []byte) {
	for _, c := range v {
		switch c {
		case '\\':
			_, _ = w.WriteString(`\\`)
		case '\n':
			_, _ = w.WriteString(`\n`)
		case '\r':
			_, _ = w.WriteString(`\r`)
		case '\t':
			_, _ = w.WriteString(`\t`)
		default:
			_ = w.WriteByte(c)
		}
	}
}
