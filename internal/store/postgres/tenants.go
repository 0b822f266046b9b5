package postgres

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/unite-hub/berth"
	"github.com/unite-hub/berth/internal/store"
	"github.com/unite-hub/berth/internal/store/row"
)

// tenantColumns are what row.TenantColumns scans. container_name follows from the
// organization, volume_mounts from the table volumes.
const tenantColumns = `id, organization_id, tenant_name, container_id, image_tag, external_port, internal_port, tenant_url,
	cpu_limit::float8, memory_limit_mb, disk_limit_mb, status, last_started_at, last_stopped_at, health_status, last_health_check_at,
	environment_vars, created_at, updated_at, created_by_actor, slug, engine_id, subnet, want, generation, image_digest, blueprint,
	replicas, cause, deprovisioned_at, revision, image_pins, release, released`

// mountsOf is the volume_mounts of the organization in parameter $1.
const mountsOf = `(SELECT coalesce(jsonb_agg(jsonb_build_object('volume', name, 'mount', mount) ORDER BY name), '[]')
	FROM berth.volumes WHERE organization_id = $1 AND deleted_at IS NULL)`

// Tenant implements store.Tenants.
func (t *tx) Tenant(ctx context.Context, ref string) (berth.Tenant, error) {
	const byOrganization = `SELECT ` + tenantColumns + ` FROM public.tenant_containers WHERE organization_id = $1 AND deprovisioned_at IS NULL`
	const bySlug = `SELECT ` + tenantColumns + ` FROM public.tenant_containers WHERE slug = $1 AND deprovisioned_at IS NULL`
	query, key := bySlug, ref
	if id := strings.ToLower(ref); berth.IsUUID(id) {
		query, key = byOrganization, id
	}
	return t.tenant(ctx, ref, query, key)
}

// Tombstone implements store.Tenants.
func (t *tx) Tombstone(ctx context.Context, organizationID string) (berth.Tenant, error) {
	return t.tenant(ctx, organizationID, `SELECT `+tenantColumns+` FROM public.tenant_containers
		WHERE organization_id = $1 AND deprovisioned_at IS NOT NULL ORDER BY seq DESC LIMIT 1`, uuidOrNull(organizationID))
}

func (t *tx) tenant(ctx context.Context, ref, query string, args ...any) (berth.Tenant, error) {
	var found berth.Tenant
	ok, err := t.one(ctx, row.TenantColumns(&found), query, args...)
	if err != nil {
		return berth.Tenant{}, fault(ctx, err, "read tenant")
	}
	if !ok || !t.MaySee(found.OrganizationID) {
		return berth.Tenant{}, row.NoTenant(ref)
	}
	return found, nil
}

// ListTenants implements store.Tenants.
func (t *tx) ListTenants(ctx context.Context, f store.TenantFilter) ([]berth.Tenant, string, error) {
	w, err := row.OpenWindow("tenants", f.Page)
	if err != nil {
		return nil, "", err
	}
	after, err := w.After()
	if err != nil {
		return nil, "", err
	}
	mine, org := narrowed(t.Scope(), "organization_id", "$5")
	engine := "$6::text IS NULL"
	switch {
	case f.Engine.Known && f.Engine.Value == "":
		engine = "$6::text = '' AND engine_id IS NULL"
	case f.Engine.Known:
		engine = "engine_id = $6"
	}
	return page[berth.Tenant]{w, bySeq(row.TenantColumns), `SELECT ` + tenantColumns + `, seq FROM public.tenant_containers
		WHERE deprovisioned_at IS NULL AND seq > $1
		AND ($2 = '' OR status = $2) AND ($3 = '' OR health_status = $3)
		AND ($4 = '' OR strpos(search_text, $4) > 0)
		AND ` + mine + ` AND ` + engine + `
		ORDER BY seq LIMIT $7`,
		[]any{after, string(f.Status), string(f.Health), row.Fold(f.Text), org, f.Engine.Pointer()}}.read(ctx, t)
}

// InsertTenant implements store.Tenants. created_by, the user where one acted, a
// trigger of the schema fills in.
func (t *tx) InsertTenant(ctx context.Context, n berth.Tenant) error {
	if err := t.MayWrite(n.OrganizationID); err != nil {
		return err
	}
	values, err := row.TenantValues(encoding, n)
	if err != nil {
		return fault(ctx, err, "insert tenant")
	}
	if err := t.knowOrganization(ctx, n); err != nil {
		return err
	}
	_, err = t.guarded(ctx, `INSERT INTO public.tenant_containers (organization_id, id, tenant_name, container_id, image_tag, external_port,
		internal_port, tenant_url, cpu_limit, memory_limit_mb, disk_limit_mb, status, last_started_at, last_stopped_at,
		health_status, last_health_check_at, environment_vars, updated_at, slug, search_text, engine_id, subnet, want,
		generation, image_digest, blueprint, replicas, cause, deprovisioned_at, revision,
		image_pins, release, released, created_at, created_by_actor, container_name, volume_mounts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
		$24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, `+mountsOf+`)`,
		append(values, stamp(n.CreatedAt), row.OrNull(n.CreatedBy), n.ContainerName())...)
	return tenantConflict(ctx, err, n)
}

// UpdateTenant implements store.Tenants. A tombstone is never changed.
func (t *tx) UpdateTenant(ctx context.Context, n *berth.Tenant) error {
	if err := t.MayWrite(n.OrganizationID); err != nil {
		return err
	}
	values, err := row.TenantValues(encoding, *n)
	if err != nil {
		return fault(ctx, err, "update tenant")
	}
	changed, err := t.guarded(ctx, `UPDATE public.tenant_containers SET tenant_name = $3, container_id = $4, image_tag = $5,
		external_port = $6, internal_port = $7, tenant_url = $8, cpu_limit = $9, memory_limit_mb = $10, disk_limit_mb = $11,
		status = $12, last_started_at = $13, last_stopped_at = $14, health_status = $15, last_health_check_at = $16,
		environment_vars = $17, updated_at = $18, slug = $19, search_text = $20, engine_id = $21, subnet = $22, want = $23,
		generation = $24, image_digest = $25, blueprint = $26, replicas = $27, cause = $28, deprovisioned_at = $29,
		revision = $30::bigint + 1, image_pins = $31, release = $32, released = $33
		WHERE organization_id = $1 AND id = $2 AND revision = $30::bigint AND deprovisioned_at IS NULL`, values...)
	if err != nil {
		return tenantConflict(ctx, err, *n)
	}
	if changed == 0 {
		var there int
		ok, err := t.one(ctx, []any{&there}, `SELECT 1 FROM public.tenant_containers WHERE id = $1 AND organization_id = $2`, n.ID, n.OrganizationID)
		if err != nil {
			return fault(ctx, err, "update tenant")
		}
		if !ok {
			return row.NoTenant(n.OrganizationID)
		}
		return row.Stale("The tenant")
	}
	n.Revision++
	return nil
}

// tenantConflict names the living tenant's property that n can't have.
func tenantConflict(ctx context.Context, err error, n berth.Tenant) error {
	constraint, duplicate := violated(err, uniqueViolation)
	if !duplicate {
		return fault(ctx, err, "write tenant")
	}
	switch constraint {
	case "tenant_containers_organization", "tenant_containers_name":
		return row.TenantExists()
	case "tenant_containers_slug":
		return row.SlugTaken(n.Slug)
	case "tenant_containers_port":
		return row.PortTaken(n.ExternalPort)
	case "tenant_containers_subnet":
		return row.SubnetTaken(n.Subnet)
	}
	return fault(ctx, err, "write tenant")
}

// TakenPorts implements store.Tenants. Whoever may provision anything must
// know every port: numbers only, and of no use without the tenants. What
// row-level security hides, a function of the schema tells.
func (t *tx) TakenPorts(ctx context.Context) ([]int, error) {
	ports := []int{}
	if !t.Anything() {
		return ports, nil
	}
	err := t.many(ctx, func(rows pgx.Rows) error {
		var p int
		if err := rows.Scan(&p); err != nil {
			return err
		}
		ports = append(ports, p)
		return nil
	}, `SELECT p FROM berth.taken_ports() AS p ORDER BY p`)
	return ports, fault(ctx, err, "list ports")
}

// TakenSubnets implements store.Tenants; see TakenPorts.
func (t *tx) TakenSubnets(ctx context.Context) ([]netip.Prefix, error) {
	subnets := []netip.Prefix{}
	if !t.Anything() {
		return subnets, nil
	}
	err := t.many(ctx, func(rows pgx.Rows) error {
		var p netip.Prefix
		if err := rows.Scan(row.Prefix(&p)); err != nil {
			return err
		}
		subnets = append(subnets, p)
		return nil
	}, `SELECT s FROM berth.taken_subnets() AS s`)
	slices.SortFunc(subnets, netip.Prefix.Compare)
	return subnets, fault(ctx, err, "list subnets")
}
