-- Ten thousand tenants, a thousand tombstones and two million rows of each
-- history, as far as the planner can tell: a fortieth of the rows are there, and the
-- statistics are told so at the end.

SET session_replication_role = replica; -- no trigger, no foreign key
SET synchronous_commit = off;

CREATE FUNCTION pg_temp.org(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
	SELECT ('550e8400-e29b-41d4-a716-' || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.id(kind bigint, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
	SELECT ('11111111-' || lpad(to_hex(kind), 4, '0') || '-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.noon() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2026-02-28 12:00:00Z'::timestamptz $$;

INSERT INTO public.organizations (id, name) SELECT pg_temp.org(n), 'org ' || n FROM generate_series(1, 10000) n;
INSERT INTO public.user_profiles (id, email) SELECT pg_temp.id(1, n), 'u' || n || '@example.org' FROM generate_series(1, 10000) n;
INSERT INTO public.user_organizations (user_id, organization_id, role) SELECT pg_temp.id(1, n), pg_temp.org(n), 'member' FROM generate_series(1, 10000) n;
INSERT INTO berth.organization_settings (organization_id, name) SELECT pg_temp.org(n), 'org ' || n FROM generate_series(1, 10000) n;
INSERT INTO berth.user_settings (user_id, email, email_folded, name) SELECT pg_temp.id(1, n), 'u' || n || '@example.org', 'u' || n || '@example.org', 'u'
	FROM generate_series(1, 10000) n;
INSERT INTO berth.identities (issuer, subject, user_id) SELECT 'https://issuer', n::text, pg_temp.id(1, n) FROM generate_series(1, 10000) n;
INSERT INTO berth.sessions (id, hash, user_id, created_at, expires_at)
	SELECT 's' || n, sha256(('s' || n)::bytea), pg_temp.id(1, n % 10000), pg_temp.noon(), pg_temp.noon() + n * interval '1 minute' FROM generate_series(1, 30000) n;
INSERT INTO berth.invitations (id, hash, email, organization_id, role, created_at, expires_at)
	SELECT 'i' || n, sha256(('i' || n)::bytea), 'u@example.org', pg_temp.org(n % 10000), 'member', pg_temp.noon(), pg_temp.noon() FROM generate_series(1, 20000) n;
INSERT INTO berth.tokens (id, name, prefix, hash, role, organization_id, created_at)
	SELECT 't' || n, 't', 'p', sha256(('t' || n)::bytea), 'deployer', pg_temp.org(n % 10000), pg_temp.noon() FROM generate_series(1, 20000) n;

INSERT INTO public.tenant_containers (id, organization_id, tenant_name, container_id, container_name, external_port, tenant_url, slug, search_text, engine_id, subnet,
	status, health_status, want, last_health_check_at)
	SELECT pg_temp.id(2, n), pg_temp.org(n), 'Tenant ' || n, 'c' || n, 'tenant_' || pg_temp.org(n), 3000 + n, 'http://localhost', 'tenant-' || n, 'tenant ' || n,
		'engine-' || n % 5, '10.' || 64 + n / 4096 || '.' || n / 16 % 256 || '.' || n % 16 * 16 || '/28', 'running', 'healthy', 'running', pg_temp.noon()
	FROM generate_series(1, 10000) n;
INSERT INTO public.tenant_containers (id, organization_id, tenant_name, container_name, tenant_url, slug, search_text, engine_id, want, deprovisioned_at)
	SELECT pg_temp.id(2, 10000 + n), pg_temp.org(n), 'Tenant ' || n, 'tenant_' || n, 'http://localhost', 'tenant-' || n, 'tenant ' || n, 'engine-1', 'gone', pg_temp.noon()
	FROM generate_series(1, 1000) n;
INSERT INTO public.tenant_health (id, container_id, organization_id, checked_at, status, response_time_ms)
	SELECT pg_temp.id(3, n), pg_temp.id(2, n % 10000 + 1), pg_temp.org(n % 10000 + 1), pg_temp.noon() - n / 10000 * interval '72 minutes', 'healthy', 3
	FROM generate_series(1, 50000) n;
INSERT INTO public.tenant_resource_usage (id, container_id, organization_id, resolution, period_start, period_end)
	SELECT pg_temp.id(4, n), pg_temp.id(2, n % 10000 + 1), pg_temp.org(n % 10000 + 1), CASE WHEN n <= 35000 THEN 'minute' WHEN n <= 45000 THEN 'hour' ELSE 'day' END,
		pg_temp.noon() - n / 10000 * interval '144 minutes', pg_temp.noon() FROM generate_series(1, 50000) n;
INSERT INTO berth.tenant_health_rollups (container_id, organization_id, resolution, period_start, healthy_count, unhealthy_count, timeout_count,
	response_time_ms_total, response_time_ms_max)
	SELECT pg_temp.id(2, n % 10000 + 1), pg_temp.org(n % 10000 + 1), CASE WHEN n <= 37500 THEN 'hour' ELSE 'day' END, pg_temp.noon() - n / 10000 * interval '1 hour', 1, 0, 0, 1, 1
	FROM generate_series(1, 50000) n;
INSERT INTO berth.usage_marks (organization_id, period_end, counters) SELECT pg_temp.org(n), pg_temp.noon(), '{}' FROM generate_series(1, 10000) n;
INSERT INTO public.tenant_deployments (id, container_id, organization_id, deployment_type, status, new_image_tag, new_config, created_at, completed_at)
	SELECT pg_temp.id(5, n), pg_temp.id(2, n % 11000 + 1), pg_temp.org(n % 10000 + 1), 'update', CASE WHEN n <= 5 THEN 'pending' ELSE 'completed' END, 'v1',
		'{"environment": {"KEY": "k"}}', pg_temp.noon() - n * interval '1 minute', pg_temp.noon() - n * interval '1 minute' FROM generate_series(1, 50000) n;
INSERT INTO berth.secret_versions (id, organization_id, name, ciphertext, created_at)
	SELECT pg_temp.id(6, n)::text, pg_temp.org(n % 10000 + 1), 'KEY', 'x', pg_temp.noon() - n * interval '1 minute' FROM generate_series(1, 50000) n;
INSERT INTO berth.volumes (name, organization_id, mount, created_at) SELECT 'tenant_' || pg_temp.org(n) || '_data', pg_temp.org(n), '/data', pg_temp.noon()
	FROM generate_series(1, 10000) n;
INSERT INTO berth.requests (actor_id, idempotency_key, fingerprint, created_at)
	SELECT 'a' || n % 1000, 'k' || n, 'x', pg_temp.noon() - n * interval '1 second' FROM generate_series(1, 50000) n;
INSERT INTO berth.events (id, organization_id, occurred_at, kind, message)
	SELECT 'e' || n, CASE WHEN n % 20 > 0 THEN pg_temp.org(n % 10000 + 1) END, pg_temp.noon() - (50000 - n) * interval '1 minute', 'unhealthy', 'm'
	FROM generate_series(1, 50000) n;
UPDATE berth.outbox SET seq = (SELECT max(seq) FROM berth.events);
INSERT INTO berth.channels (id, organization_id, type, target, kinds, enabled, created_at, not_before)
	SELECT 'ch' || n, pg_temp.org(n), 'webhook', 'https://x', '[]', true, pg_temp.noon(), 0 FROM generate_series(1, 10000) n;
INSERT INTO berth.deliveries (id, channel_id, event_id, kind, body, created_at, attempt, state, next_at)
	SELECT 'd' || n, 'ch' || n % 10000 + 1, 'e' || n, 'unhealthy', 'x', pg_temp.noon() - n * interval '1 minute', 1, CASE WHEN n <= 100 THEN 'pending' ELSE 'delivered' END,
		CASE WHEN n <= 100 THEN pg_temp.noon() END FROM generate_series(1, 50000) n;
INSERT INTO berth.pulled_images (engine_id, pin, reference, pulled_at) SELECT 'engine-' || n % 5, 'p' || n, 'r', pg_temp.noon() FROM generate_series(1, 1000) n;
INSERT INTO berth.foreign_objects (engine_id, kind, object_id, found_at) SELECT 'engine-' || n % 5, 'container', 'o' || n, pg_temp.noon() FROM generate_series(1, 10000) n;
INSERT INTO berth.audit_log (id, actor_id, organization_id, seq, at, action, outcome, hash)
	SELECT 'l' || n, 'token-' || n % 100, CASE WHEN n % 20 > 0 THEN pg_temp.org(n % 10000 + 1) END, n, pg_temp.noon() - (50000 - n) * interval '1 minute', 'tenant.deploy', 'done', 'x'
	FROM generate_series(1, 50000) n;

SET default_statistics_target = 300; -- so that every row is looked at, and the plans are the same each time
ANALYZE;
UPDATE pg_class c SET reltuples = 40 * reltuples WHERE reltuples >= 50000 AND relnamespace IN ('public'::regnamespace, 'berth'::regnamespace);
