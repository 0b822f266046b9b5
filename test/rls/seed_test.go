package rls

const (
	ourTenant   = "11111111-0000-4000-8000-000000000001"
	theirTenant = "11111111-0000-4000-8000-000000000002"

	ourOwner   = "22222222-0000-4000-8000-000000000001"
	ourAdmin   = "22222222-0000-4000-8000-000000000002"
	ourMember  = "22222222-0000-4000-8000-000000000003"
	theirAdmin = "22222222-0000-4000-8000-000000000004"
	stranger   = "22222222-0000-4000-8000-000000000005"
	newcomer   = "22222222-0000-4000-8000-000000000006"
)

// twoOrganizations stores two of them with a living tenant each.
const twoOrganizations = `
	INSERT INTO public.organizations (id, name) VALUES ('` + ours + `', 'Ours'), ('` + theirs + `', 'Theirs');
	INSERT INTO public.tenant_containers (id, organization_id, tenant_name, container_name, external_port, cpu_limit, memory_limit_mb, disk_limit_mb, tenant_url, status)
	VALUES ('` + ourTenant + `', '` + ours + `', 'Ours', 'tenant_1', 3001, 0.5, 512, 2048, 'http://localhost:3001', 'provisioning'),
		('` + theirTenant + `', '` + theirs + `', 'Theirs', 'tenant_2', 3002, 0.5, 512, 2048, 'http://localhost:3002', 'provisioning');`

// people belong to them. The operator lets the organizations' own start, stop
// and rename.
const people = `
	INSERT INTO public.user_profiles (id, email) SELECT id::uuid, id || '@example.com'
	FROM unnest(ARRAY['` + ourOwner + `', '` + ourAdmin + `', '` + ourMember + `', '` + theirAdmin + `', '` + stranger + `', '` + newcomer + `']) AS id;
	INSERT INTO public.user_organizations (user_id, organization_id, role) VALUES
		('` + ourOwner + `', '` + ours + `', 'owner'), ('` + ourAdmin + `', '` + ours + `', 'admin'),
		('` + ourMember + `', '` + ours + `', 'member'), ('` + theirAdmin + `', '` + theirs + `', 'admin');
	INSERT INTO berth.organization_settings (organization_id, name, self_service) VALUES ('` + ours + `', 'Ours', 22), ('` + theirs + `', 'Theirs', 22);`

// place is whose a row is, seen from an actor of the first organization.
type place string

const (
	own   place = "own"
	other place = "other"
	house place = "house" // of no organization
)

// sample is how the rows of a table are made, found and changed. In the
// texts, $id is what belongs to the place: by default the organization's id or
// NULL.
type sample struct {
	ids    map[place]string // what $id stands for; nil for the organization's
	insert string           // columns and values; with $n for a name that is new each time
	where  string
	set    string
}

var (
	byOrganization = map[place]string{own: "'" + ours + "'", other: "'" + theirs + "'"}
	alsoHouse      = map[place]string{own: "'" + ours + "'", other: "'" + theirs + "'", house: "NULL"}
	byTenant       = map[place]string{own: "'" + ourTenant + "'", other: "'" + theirTenant + "'"}
	onlyHouse      = map[place]string{house: "NULL"}
	bySelf         = map[place]string{own: "'$self'", other: "'" + theirAdmin + "'"}
)

const (
	ofOrganization = "organization_id IS NOT DISTINCT FROM $id"
	ofTenant       = "container_id = $id"
	any1           = "true"
)

// samples are for every table of Berth: one that is missing here fails.
var samples = map[string]sample{
	"public.organizations": {byOrganization, "(id, name) VALUES (gen_random_uuid(), 'n')", "id = $id", "name = name || '.'"},
	"public.user_profiles": {bySelf, "(id) VALUES (gen_random_uuid())", "id::text = $id", "email = 'x'"},
	"public.user_organizations": {bySelf, "(user_id, organization_id, role) VALUES ('" + newcomer + "', '" + ours + "', 'admin')",
		"user_id::text = $id", "role = 'admin'"},
	"public.tenant_containers": {byOrganization, "(organization_id, tenant_name, container_name, tenant_url, deprovisioned_at) VALUES ($id, 'n', $n, 'u', now())",
		ofOrganization, "tenant_name = tenant_name || '.'"},
	"public.tenant_health": {byTenant, "(container_id, status) VALUES ($id, 'healthy')", ofTenant, "status = 'timeout'"},
	"public.tenant_resource_usage": {byTenant, "(container_id, period_start, period_end) VALUES ($id, clock_timestamp(), clock_timestamp() + interval '1 minute')",
		ofTenant, "samples = 2"},
	"public.tenant_deployments": {byTenant, "(container_id, deployment_type, new_image_tag, status) VALUES ($id, 'update', 'v2', 'completed')",
		ofTenant + " AND status = 'pending'", "deployment_notes = 'n'"},

	"berth.made":          {onlyHouse, "(object) VALUES ($n)", "object <> ''", "made_at = now()"},
	"berth.installation":  {onlyHouse, "(id) VALUES ($n)", any1, "id = 'x'"},
	"berth.engine_leases": {onlyHouse, "(engine_id, holder, url, fence, expires_at) VALUES ($n, gen_random_uuid(), 'u', 1, now())", any1, "fence = fence + 1"},
	"berth.secret_versions": {byOrganization, "(id, organization_id, name, ciphertext, created_at) VALUES ($n, $id, 'K', 'c', now())",
		ofOrganization, "ciphertext = 'd'"},
	"berth.registry_credentials": {onlyHouse, "(registry, username, ciphertext, updated_at) VALUES ($n, 'u', 'c', now())", any1, "username = 'x'"},
	"berth.volumes":              {byOrganization, "(name, organization_id, mount) VALUES ($n, $id, '/data')", ofOrganization, "mount = '/x'"},
	"berth.requests": {bySelf, "(actor_id, idempotency_key, fingerprint, created_at) VALUES ($id, $n, 'f', now())",
		"actor_id = $id", "status = 200"},
	"berth.events": {alsoHouse, "(id, organization_id, occurred_at, kind, message) VALUES ($n, $id, now(), 'drift', 'm')", ofOrganization, "message = 'x'"},
	"berth.blueprints": {onlyHouse, "(name, version, hash, source, created_at) VALUES ($n, 1, 'h', 's', now())",
		any1, "hash = 'x'"},
	"berth.usage_marks": {byOrganization, "(organization_id, period_end, counters) VALUES ($id, now(), '[]')", ofOrganization, "period_end = now()"},
	"berth.tenant_health_rollups": {byTenant, `(container_id, organization_id, resolution, period_start, healthy_count, unhealthy_count, timeout_count, response_time_ms_total, response_time_ms_max)
		VALUES ($id, CASE $id WHEN '` + ourTenant + `' THEN '` + ours + `'::uuid ELSE '` + theirs + `'::uuid END, 'hour', clock_timestamp(), 1, 0, 0, 1, 1)`,
		ofTenant, "healthy_count = 2"},
	"berth.channels": {alsoHouse, `(id, organization_id, type, target, kinds, enabled, created_at, not_before) VALUES ($n, $id, 'webhook', 't', '[]', true, now(), 0)`,
		ofOrganization, "enabled = false"},
	"berth.deliveries": {map[place]string{own: "'channel-own'", other: "'channel-other'", house: "'channel-house'"},
		"(id, channel_id, event_id, kind, body, created_at, attempt, state) VALUES ($n, $id, $n, 'oom', 'b', now(), 0, 'pending')", "channel_id = $id", "attempt = 1"},
	"berth.outbox":          {onlyHouse, "(seq) VALUES (1)", any1, "seq = seq + 1"},
	"berth.foreign_objects": {onlyHouse, "(engine_id, kind, object_id, found_at) VALUES ('e', 'volume', $n, now())", any1, "kind = 'x'"},
	"berth.pulled_images":   {onlyHouse, "(engine_id, pin, reference, pulled_at) VALUES ('e', $n, 'r', now())", any1, "reference = 'x'"},

	"berth.organization_settings": {byOrganization, "(organization_id, name) VALUES ($id, 'n')", ofOrganization, "name = 'x'"},
	"berth.user_settings":         {onlyHouse, "(user_id, email, email_folded, name) VALUES ('" + stranger + "', $n, $n, 'n')", any1, "name = 'x'"},
	"berth.identities":            {onlyHouse, "(issuer, subject, user_id) VALUES ('i', $n, '" + stranger + "')", any1, "user_id = '" + ourAdmin + "'"},
	"berth.sessions":              {onlyHouse, "(id, hash, user_id, created_at, expires_at) VALUES ($n, $n::bytea, '" + stranger + "', now(), now())", any1, "address = 'x'"},
	"berth.invitations": {alsoHouse, "(id, hash, email, organization_id, role, created_at, expires_at) VALUES ($n, $n::bytea, 'e', $id, 'member', now(), now())",
		ofOrganization, "revoked_at = now()"},
	"berth.tokens": {alsoHouse, "(id, name, prefix, hash, role, organization_id, created_at) VALUES ($n, 'n', 'p', $n::bytea, 'admin', $id, now())",
		ofOrganization, "revoked_at = now()"},
	"berth.audit_log": {alsoHouse, "(id, organization_id, seq, at, action, outcome, hash) VALUES ($n, $id, (random() * 1e15)::bigint + 1, now(), 'a', 'done', 'h')",
		ofOrganization, "action = 'x'"},

	"berth.organizations": {byOrganization, "(id, name) VALUES (gen_random_uuid(), 'n')", "id = $id", "name = 'x'"},
	"berth.memberships":   {byOrganization, "(user_id, organization_id, role) VALUES ('" + stranger + "', $id, 'admin')", ofOrganization, "role = 'admin'"},
	"berth.users": {map[place]string{own: "'" + ourMember + "'", other: "'" + theirAdmin + "'", house: "'" + stranger + "'"},
		"(id, email) VALUES (gen_random_uuid(), 'e')", "id = $id", "name = 'x'"},
}

// views can't be written, whoever asks.
var views = map[string]bool{"berth.organizations": true, "berth.memberships": true, "berth.users": true}

// seed stores what samples refer to, or can't make.
const seed = `
	INSERT INTO public.tenant_deployments (container_id, deployment_type, new_image_tag) VALUES ('` + ourTenant + `', 'provision', 'v1'), ('` + theirTenant + `', 'provision', 'v1');
	INSERT INTO berth.channels (id, organization_id, type, target, kinds, enabled, created_at, not_before) VALUES
		('channel-own', '` + ours + `', 'webhook', 't', '[]', true, now(), 0), ('channel-other', '` + theirs + `', 'webhook', 't', '[]', true, now(), 0),
		('channel-house', NULL, 'webhook', 't', '[]', true, now(), 0);`
