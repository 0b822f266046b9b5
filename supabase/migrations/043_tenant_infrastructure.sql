-- The seed's four tables, the three they lean on, and who may see what of them.
--
-- For PostgreSQL 15 and later, Supabase included. What a Supabase project has
-- already (schema auth, its roles, organizations, user_profiles and
-- user_organizations) is left as it is; elsewhere it is made. The file may be
-- run again, and by two at once. The way down is in supabase/rollbacks.
--
-- Where this differs from the seed, and why:
--   * Unknown is NULL. Defaults that would claim knowledge (the seed's
--     DEFAULT 0 on counters nobody filled) are gone.
--   * Uniqueness covers living rows. A deprovisioned tenant stays as a
--     tombstone with its history, so foreign keys restrict and never cascade.
--   * created_by and deployed_by hold the user where one acted, and become NULL
--     when that user is removed: a person must be able to go. Who it was, a
--     token too, stays in created_by_actor and deployed_by_actor.
--   * Cores are NUMERIC(6,2) and percent NUMERIC(9,2): the seed's end at 9.99
--     and 999.99.
--
-- 1 MB is 1,048,576 bytes. seq is the order in which rows were written: lists
-- and cursors follow it, because a clock may jump.

BEGIN;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(7239481041701); END $$; -- one migrator at a time
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';

-- Roles ---------------------------------------------------------------------

-- Roles belong to the whole cluster: another database's migrator may be making
-- them at this moment.
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['anon', 'authenticated', 'service_role', 'berth_api', 'berth_system'] LOOP
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name);
		BEGIN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', name);
			IF name = 'service_role' THEN
				EXECUTE 'ALTER ROLE service_role BYPASSRLS';
			END IF;
		EXCEPTION
			WHEN duplicate_object OR unique_violation THEN NULL;
			WHEN insufficient_privilege THEN -- to bypass; policies let service_role see all the same
				IF name <> 'service_role' THEN
					RAISE;
				END IF;
				EXECUTE 'CREATE ROLE service_role NOLOGIN';
		END;
	END LOOP;
	-- Functions below belong to berth_system, which sees every row by policy.
	-- Only who is a member can give them to it.
	FOREACH name IN ARRAY ARRAY['berth_api', 'berth_system'] LOOP
		IF NOT pg_catalog.pg_has_role(current_user, name, 'USAGE') THEN
			EXECUTE pg_catalog.format('GRANT %I TO CURRENT_USER', name);
		END IF;
	END LOOP;
END $$;

-- Berth's own schema, which Supabase does not expose.
CREATE SCHEMA IF NOT EXISTS berth;
REVOKE ALL ON SCHEMA berth FROM PUBLIC;
GRANT USAGE ON SCHEMA berth TO berth_api;
GRANT USAGE, CREATE ON SCHEMA berth TO berth_system; -- CREATE until the end of each file
GRANT USAGE ON SCHEMA public TO berth_api, berth_system, anon, authenticated, service_role;

-- What the migrations made that may belong to others elsewhere: the way down
-- drops nothing else of that kind.
CREATE TABLE IF NOT EXISTS berth.made (
	object  TEXT PRIMARY KEY, -- 'schema auth', 'table public.organizations'
	made_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
ALTER TABLE berth.made ENABLE ROW LEVEL SECURITY;
ALTER TABLE berth.made FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS system ON berth.made;
CREATE POLICY system ON berth.made TO berth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON berth.made TO berth_system;

-- Who asks --------------------------------------------------------------------

DO $$
BEGIN
	IF to_regnamespace('auth') IS NULL THEN
		CREATE SCHEMA auth;
		GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
		INSERT INTO berth.made (object) VALUES ('schema auth');
	END IF;
	IF to_regprocedure('auth.uid()') IS NULL THEN
		CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
		RETURN coalesce(
			nullif(current_setting('request.jwt.claim.sub', true), ''),
			nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
		INSERT INTO berth.made (object) VALUES ('function auth.uid()');
	END IF;
END $$;

-- The signed-in user, for functions whose definer may not look into auth: the
-- name is resolved now, by who migrates.
CREATE OR REPLACE FUNCTION berth.signed_in() RETURNS uuid
LANGUAGE sql STABLE SET search_path = ''
RETURN auth.uid();

-- The claims below count for berth_api alone, which no client of Supabase can
-- become. Berth sets them for each transaction: {"sub": id of the actor,
-- "role": "berth_api", "berth_role": …, "berth_organization": UUID, or "" for
-- all}. What is not understood allows nothing; what is no JSON is an error.

CREATE OR REPLACE FUNCTION berth.claim(name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
RETURN nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> name;

-- Some of these are called by nearly every statement of an actor, once each. In
-- SQL they would take five to nine times as long.

-- Whether the actor is the operator's own: it sees and writes what belongs to no
-- organization, and what people manage of any. berth.Actor.Installation.
CREATE OR REPLACE FUNCTION berth.installation() RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = '' AS $$
DECLARE
	claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
BEGIN
	RETURN coalesce(claims ->> 'berth_role' = 'operator' AND coalesce(claims ->> 'berth_organization', '') = '', false);
END $$;

-- The one organization whose secrets, tokens, people, channels and audit are the
-- actor's to manage. berth.Actor.MayManage.
CREATE OR REPLACE FUNCTION berth.managed_organization() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = '' AS $$
DECLARE
	claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
	id text := claims ->> 'berth_organization';
BEGIN
	IF claims ->> 'berth_role' IN ('operator', 'admin')
		AND id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
	THEN
		RETURN id::uuid;
	END IF;
	RETURN NULL;
END $$;

-- Whether the actor sees every organization. A deployer of all does too, but
-- nothing that belongs to none.
CREATE OR REPLACE FUNCTION berth.sees_all() RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = '' AS $$
DECLARE
	claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
BEGIN
	RETURN coalesce(claims ->> 'berth_role' IN ('operator', 'deployer') AND coalesce(claims ->> 'berth_organization', '') = '', false);
END $$;

-- The one organization that the actor sees; NULL for all, and for none.
CREATE OR REPLACE FUNCTION berth.own_organization() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = '' AS $$
DECLARE
	claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
	id text := claims ->> 'berth_organization';
BEGIN
	IF claims ->> 'berth_role' IN ('operator', 'admin', 'member', 'deployer')
		AND id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
	THEN
		RETURN id::uuid;
	END IF;
	RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION berth.sees_any() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
RETURN berth.sees_all() OR berth.own_organization() IS NOT NULL;

-- Whether the actor writes what it sees. A member never does.
CREATE OR REPLACE FUNCTION berth.may_write() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
RETURN berth.sees_any() AND berth.claim('berth_role') <> 'member';

CREATE OR REPLACE FUNCTION berth.actor() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
RETURN berth.claim('sub');

-- Whether the loop asks. In a definer's function current_user is the definer;
-- the setting still says whose role the transaction took.
CREATE OR REPLACE FUNCTION berth.is_system() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = ''
RETURN CASE current_setting('role', true) WHEN 'berth_system' THEN true WHEN 'none' THEN session_user = 'berth_system' ELSE false END;

-- Write transactions take this lock first, so that what they read is current
-- until they commit.
CREATE OR REPLACE FUNCTION berth.queue_writers() RETURNS void
LANGUAGE sql VOLATILE SET search_path = ''
BEGIN ATOMIC
	SELECT pg_advisory_xact_lock(7239481041702);
END;

-- Organizations and people ------------------------------------------------------

-- Made where they are missing. Where they are there, only what has no other
-- name is relied on: organizations.id, user_profiles.id, and who belongs where.
DO $$
DECLARE
	own text[] := '{}';
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['organizations', 'user_profiles'] LOOP
		IF to_regclass('public.' || t) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute
			WHERE attrelid = to_regclass('public.' || t) AND attname = 'id' AND atttypid = 'pg_catalog.uuid'::regtype) THEN
			RAISE EXCEPTION 'public.% has no column id of type uuid', t
				USING HINT = 'Berth refers to organizations and users by UUID';
		END IF;
	END LOOP;
	IF to_regclass('public.organizations') IS NULL THEN
		CREATE TABLE public.organizations (
			id         UUID PRIMARY KEY DEFAULT gen_random_uuid(),
			name       TEXT NOT NULL,
			created_at TIMESTAMPTZ NOT NULL DEFAULT now()
		);
		own := own || 'organizations'::text;
	END IF;
	IF to_regclass('public.user_profiles') IS NULL THEN
		CREATE TABLE public.user_profiles (
			id         UUID PRIMARY KEY DEFAULT gen_random_uuid(),
			email      TEXT,
			name       TEXT,
			created_at TIMESTAMPTZ NOT NULL DEFAULT now()
		);
		own := own || 'user_profiles'::text;
	END IF;
	IF to_regclass('public.user_organizations') IS NULL THEN
		CREATE TABLE public.user_organizations (
			user_id         UUID NOT NULL REFERENCES public.user_profiles (id) ON DELETE CASCADE,
			organization_id UUID NOT NULL REFERENCES public.organizations (id) ON DELETE RESTRICT,
			role            TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member', 'deployer')),
			created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
			PRIMARY KEY (user_id, organization_id)
		);
		CREATE INDEX user_organizations_organization ON public.user_organizations (organization_id, user_id);
		own := own || 'user_organizations'::text;
	END IF;
	FOREACH t IN ARRAY own LOOP
		INSERT INTO berth.made (object) VALUES ('table public.' || t) ON CONFLICT DO NOTHING;
		EXECUTE pg_catalog.format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE pg_catalog.format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', t);
		EXECUTE pg_catalog.format('REVOKE ALL ON public.%I FROM PUBLIC, anon, authenticated, service_role', t);
		EXECUTE pg_catalog.format('GRANT SELECT ON public.%I TO authenticated', t);
		EXECUTE pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO service_role', t);
		EXECUTE pg_catalog.format('CREATE POLICY service ON public.%I TO service_role USING (true) WITH CHECK (true)', t);
	END LOOP;
	-- berth_system serves those who may not look themselves, through the views
	-- and functions of Berth, which ask who may see what. Policies of others
	-- stay as they are; where the table has no row-level security, it gets none.
	FOREACH t IN ARRAY ARRAY['organizations', 'user_profiles', 'user_organizations'] LOOP
		EXECUTE pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO berth_system', t);
		IF (SELECT relrowsecurity FROM pg_catalog.pg_class WHERE oid = to_regclass('public.' || t)) THEN
			EXECUTE pg_catalog.format('DROP POLICY IF EXISTS berth_system ON public.%I', t);
			EXECUTE pg_catalog.format('CREATE POLICY berth_system ON public.%I TO berth_system USING (true) WITH CHECK (true)', t);
		END IF;
	END LOOP;
END $$;

-- my_organizations returns those of the signed-in user in which it is at least
-- min_role, 'member' or 'admin'. Owners are admins, everybody else is a member,
-- and who is not active is nothing. It is made for the shape that
-- user_organizations has here: organization_id or org_id, user_id as UUID or as
-- text, with or without role and is_active.
DO $$
DECLARE
	cols     jsonb := (SELECT jsonb_object_agg(attname, format_type(atttypid, NULL)) FROM pg_catalog.pg_attribute
		WHERE attrelid = to_regclass('public.user_organizations') AND attnum > 0 AND NOT attisdropped);
	org_col  text := CASE WHEN cols ? 'organization_id' THEN 'organization_id' WHEN cols ? 'org_id' THEN 'org_id' END;
	is_admin text := CASE WHEN cols ? 'role' THEN 'lower(m.role::text) IN (''owner'', ''admin'')' ELSE 'false' END;
	active   text := CASE WHEN cols ? 'is_active' THEN 'm.is_active IS DISTINCT FROM false' ELSE 'true' END;
BEGIN
	IF org_col IS NULL OR NOT cols ? 'user_id' THEN
		RAISE EXCEPTION 'public.user_organizations must have user_id, and organization_id or org_id'
			USING HINT = 'name the columns so, or make the table a view that does';
	END IF;
	EXECUTE pg_catalog.format($f$
		CREATE OR REPLACE FUNCTION berth.my_organizations(min_role text) RETURNS SETOF uuid
		LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
		BEGIN ATOMIC
			SELECT m.%1$I::uuid FROM public.user_organizations m
			WHERE m.user_id = auth.uid()::%2$s AND %3$s AND (min_role = 'member' OR min_role = 'admin' AND %4$s);
		END$f$, org_col, cols ->> 'user_id', active, is_admin);
END $$;
ALTER FUNCTION berth.my_organizations(text) OWNER TO berth_system;

DO $$
BEGIN
	IF EXISTS (SELECT FROM berth.made WHERE object = 'table public.organizations') THEN
		DROP POLICY IF EXISTS member_reads ON public.organizations;
		CREATE POLICY member_reads ON public.organizations FOR SELECT TO authenticated
			USING (id = ANY (ARRAY(SELECT berth.my_organizations('member'))));
	END IF;
	IF EXISTS (SELECT FROM berth.made WHERE object = 'table public.user_profiles') THEN
		DROP POLICY IF EXISTS user_reads ON public.user_profiles;
		CREATE POLICY user_reads ON public.user_profiles FOR SELECT TO authenticated USING (id = (SELECT auth.uid()));
	END IF;
	IF EXISTS (SELECT FROM berth.made WHERE object = 'table public.user_organizations') THEN
		DROP POLICY IF EXISTS user_reads ON public.user_organizations;
		CREATE POLICY user_reads ON public.user_organizations FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
	END IF;
END $$;

-- The seed's tables -----------------------------------------------------------

CREATE TABLE IF NOT EXISTS public.tenant_containers (
	id                   UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	organization_id      UUID NOT NULL REFERENCES public.organizations (id) ON DELETE RESTRICT,
	tenant_name          TEXT NOT NULL,
	container_id         TEXT,            -- the engine's
	container_name       TEXT NOT NULL,
	image_tag            TEXT NOT NULL DEFAULT 'latest' CHECK (image_tag <> ''),
	external_port        INTEGER CHECK (external_port BETWEEN 1 AND 65535),
	internal_port        INTEGER DEFAULT 3000 CHECK (internal_port BETWEEN 1 AND 65535),
	tenant_url           TEXT NOT NULL,
	cpu_limit            NUMERIC(6, 2) NOT NULL DEFAULT 0.50 CHECK (cpu_limit > 0), -- cores
	memory_limit_mb      INTEGER NOT NULL DEFAULT 512 CHECK (memory_limit_mb > 0),
	disk_limit_mb        INTEGER NOT NULL DEFAULT 2048 CHECK (disk_limit_mb > 0),
	status               TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'provisioning', 'running', 'stopped', 'sleeping', 'failed', 'deprovisioning')),
	last_started_at      TIMESTAMPTZ,
	last_stopped_at      TIMESTAMPTZ,
	health_status        TEXT NOT NULL DEFAULT 'unknown' CHECK (health_status IN ('unknown', 'starting', 'healthy', 'unhealthy')),
	last_health_check_at TIMESTAMPTZ,
	environment_vars     JSONB NOT NULL DEFAULT '{}', -- variable name to secret version id
	volume_mounts        JSONB NOT NULL DEFAULT '[]', -- [{"volume": …, "mount": …}], follows table volumes
	created_at           TIMESTAMPTZ NOT NULL DEFAULT now(),
	updated_at           TIMESTAMPTZ NOT NULL DEFAULT now(),
	created_by           UUID REFERENCES public.user_profiles (id) ON DELETE SET NULL,
	-- beyond the seed
	created_by_actor     TEXT,
	slug                 TEXT NOT NULL CHECK (slug <> ''), -- filled in if none is given
	search_text          TEXT NOT NULL,   -- name and slug, case folded; filled in if none is given
	engine_id            TEXT,            -- the engine that holds its volumes
	subnet               TEXT,
	want                 TEXT NOT NULL DEFAULT 'stopped' CHECK (want IN ('running', 'stopped', 'gone')),
	generation           BIGINT NOT NULL DEFAULT 1 CHECK (generation >= 0),
	image_digest         TEXT,            -- NULL until the engine has looked
	image_pins           JSONB NOT NULL DEFAULT '{}', -- service to pin, for those whose image is not image_digest
	blueprint            TEXT NOT NULL DEFAULT 'builtin@1', -- name@version
	replicas             INTEGER NOT NULL DEFAULT 1 CHECK (replicas > 0),
	release              BIGINT NOT NULL DEFAULT 0 CHECK (release >= 0),  -- generation that last changed what runs
	released             BIGINT NOT NULL DEFAULT 0 CHECK (released >= 0), -- newest release whose services that run once ended well
	cause                TEXT,            -- why it is failed or unhealthy
	deprovisioned_at     TIMESTAMPTZ,     -- NULL for a living tenant
	revision             BIGINT NOT NULL DEFAULT 1,
	seq                  BIGINT GENERATED BY DEFAULT AS IDENTITY CONSTRAINT tenant_containers_seq UNIQUE
);

-- Each round of probes writes every row again. With room for a second copy of
-- each on its page, no index is touched.
ALTER TABLE public.tenant_containers SET (fillfactor = 50);

CREATE UNIQUE INDEX IF NOT EXISTS tenant_containers_organization ON public.tenant_containers (organization_id) WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS tenant_containers_slug         ON public.tenant_containers (slug)            WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS tenant_containers_name         ON public.tenant_containers (container_name)  WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS tenant_containers_container    ON public.tenant_containers (container_id)    WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS tenant_containers_port         ON public.tenant_containers (external_port)   WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS tenant_containers_subnet       ON public.tenant_containers (subnet)          WHERE deprovisioned_at IS NULL;
-- Target of foreign keys that carry the organization.
CREATE UNIQUE INDEX IF NOT EXISTS tenant_containers_owner        ON public.tenant_containers (id, organization_id);
CREATE INDEX IF NOT EXISTS tenant_containers_list                ON public.tenant_containers (seq) WHERE deprovisioned_at IS NULL;
CREATE INDEX IF NOT EXISTS tenant_containers_of                  ON public.tenant_containers (organization_id, seq);
CREATE INDEX IF NOT EXISTS tenant_containers_created_by          ON public.tenant_containers (created_by) WHERE created_by IS NOT NULL;

CREATE TABLE IF NOT EXISTS public.tenant_health (
	id                UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	container_id      UUID NOT NULL,
	checked_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
	status            TEXT NOT NULL CHECK (status IN ('healthy', 'unhealthy', 'timeout')),
	response_time_ms  INTEGER,            -- rounded up
	http_status_code  INTEGER,            -- NULL if there was no answer
	error_message     TEXT,
	cpu_usage_percent NUMERIC(9, 2),      -- 100 is one core
	memory_usage_mb   BIGINT,
	disk_usage_mb     BIGINT,
	check_type        TEXT DEFAULT 'http',
	check_endpoint    TEXT DEFAULT '/api/health',
	created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
	-- beyond the seed
	organization_id   UUID NOT NULL,      -- the container's, if none is given
	seq               BIGINT GENERATED BY DEFAULT AS IDENTITY CONSTRAINT tenant_health_seq UNIQUE,
	CONSTRAINT tenant_health_container_fkey FOREIGN KEY (container_id, organization_id)
		REFERENCES public.tenant_containers (id, organization_id) ON DELETE RESTRICT
);

CREATE INDEX IF NOT EXISTS tenant_health_organization ON public.tenant_health (organization_id, seq);
CREATE INDEX IF NOT EXISTS tenant_health_container    ON public.tenant_health (container_id, organization_id, checked_at);
CREATE INDEX IF NOT EXISTS tenant_health_time         ON public.tenant_health (checked_at, seq);

CREATE TABLE IF NOT EXISTS public.tenant_resource_usage (
	id                     UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	container_id           UUID NOT NULL,
	recorded_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
	period_start           TIMESTAMPTZ NOT NULL,
	period_end             TIMESTAMPTZ NOT NULL,
	cpu_usage_percent_avg  NUMERIC(9, 2), -- 100 is one core
	cpu_usage_percent_max  NUMERIC(9, 2),
	cpu_throttling_count   BIGINT,
	memory_usage_mb_avg    BIGINT,
	memory_usage_mb_max    BIGINT,
	memory_limit_mb        BIGINT,
	oom_kill_count         BIGINT,
	network_rx_bytes       BIGINT,
	network_tx_bytes       BIGINT,
	disk_usage_mb          BIGINT,
	disk_io_read_mb        BIGINT,
	disk_io_write_mb       BIGINT,
	request_count          BIGINT,
	error_count            BIGINT,
	avg_response_time_ms   BIGINT,
	created_at             TIMESTAMPTZ NOT NULL DEFAULT now(),
	-- beyond the seed
	organization_id        UUID NOT NULL, -- the container's, if none is given
	resolution             TEXT NOT NULL DEFAULT 'minute' CHECK (resolution IN ('minute', 'hour', 'day')),
	memory_usage_bytes_avg BIGINT,        -- what the columns in MB were rounded from
	memory_usage_bytes_max BIGINT,
	disk_usage_bytes       BIGINT,
	disk_io_read_bytes     BIGINT,
	disk_io_write_bytes    BIGINT,
	avg_response_time_us   BIGINT,
	samples                BIGINT NOT NULL DEFAULT 0,
	CONSTRAINT tenant_resource_usage_container_fkey FOREIGN KEY (container_id, organization_id)
		REFERENCES public.tenant_containers (id, organization_id) ON DELETE RESTRICT
);

CREATE UNIQUE INDEX IF NOT EXISTS tenant_resource_usage_period ON public.tenant_resource_usage (organization_id, resolution, period_start);
CREATE INDEX IF NOT EXISTS tenant_resource_usage_age           ON public.tenant_resource_usage (resolution, period_start);
CREATE INDEX IF NOT EXISTS tenant_resource_usage_container     ON public.tenant_resource_usage (container_id, organization_id);

CREATE TABLE IF NOT EXISTS public.tenant_deployments (
	id                     UUID PRIMARY KEY DEFAULT gen_random_uuid(),
	container_id           UUID NOT NULL,
	deployment_type        TEXT NOT NULL CHECK (deployment_type IN ('provision', 'update', 'restart', 'scale', 'rollback', 'config', 'stop', 'deprovision')),
	status                 TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'completed', 'failed', 'superseded')),
	previous_image_tag     TEXT,
	new_image_tag          TEXT NOT NULL CHECK (new_image_tag <> ''),
	previous_config        JSONB,         -- a whole spec; secrets by version id, never by value
	new_config             JSONB,
	started_at             TIMESTAMPTZ,   -- when the loop took it up
	completed_at           TIMESTAMPTZ,   -- NULL until it is over
	error_message          TEXT,
	can_rollback           BOOLEAN NOT NULL DEFAULT false,
	rollback_deployment_id UUID REFERENCES public.tenant_deployments (id) ON DELETE RESTRICT,
	deployed_by            UUID REFERENCES public.user_profiles (id) ON DELETE SET NULL,
	deployment_notes       TEXT,
	created_at             TIMESTAMPTZ NOT NULL DEFAULT now(),
	-- beyond the seed
	deployed_by_actor      TEXT,
	organization_id        UUID NOT NULL, -- the container's, if none is given
	generation             BIGINT NOT NULL DEFAULT 0 CHECK (generation >= 0),
	want                   TEXT NOT NULL DEFAULT 'running' CHECK (want IN ('running', 'stopped', 'gone')),
	previous_want          TEXT CHECK (previous_want IN ('running', 'stopped', 'gone')),
	volumes                TEXT CHECK (volumes IN ('keep', 'delete')),
	adopt                  BOOLEAN NOT NULL DEFAULT false,
	steps                  JSONB,         -- [{"name": …, "startedAt": …, "endedAt": …, "error": …}]
	seq                    BIGINT GENERATED BY DEFAULT AS IDENTITY CONSTRAINT tenant_deployments_seq UNIQUE,
	CONSTRAINT tenant_deployments_container_fkey FOREIGN KEY (container_id, organization_id)
		REFERENCES public.tenant_containers (id, organization_id) ON DELETE RESTRICT
);

-- At most one deployment of a tenant is open.
CREATE UNIQUE INDEX IF NOT EXISTS tenant_deployments_open ON public.tenant_deployments (container_id) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS tenant_deployments_history     ON public.tenant_deployments (organization_id, seq);
CREATE INDEX IF NOT EXISTS tenant_deployments_container   ON public.tenant_deployments (container_id, organization_id);
CREATE INDEX IF NOT EXISTS tenant_deployments_rollback    ON public.tenant_deployments (rollback_deployment_id) WHERE rollback_deployment_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS tenant_deployments_deployed_by ON public.tenant_deployments (deployed_by) WHERE deployed_by IS NOT NULL;
CREATE INDEX IF NOT EXISTS tenant_deployments_pending     ON public.tenant_deployments (organization_id) WHERE status = 'pending';

-- Triggers ----------------------------------------------------------------------

-- The user with that id, if there is one.
CREATE OR REPLACE FUNCTION berth.known_user(id text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
	SELECT u.id FROM public.user_profiles u
	WHERE u.id = CASE WHEN known_user.id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN known_user.id::uuid END;
END;
ALTER FUNCTION berth.known_user(text) OWNER TO berth_system;

CREATE OR REPLACE FUNCTION berth.fill_tenant() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
	NEW.slug := coalesce(NEW.slug, 'tenant-' || NEW.organization_id);
	NEW.search_text := coalesce(NEW.search_text, lower(upper(NEW.tenant_name)) || E'\n' || NEW.slug);
	NEW.created_by := coalesce(NEW.created_by, berth.known_user(NEW.created_by_actor));
	NEW.created_by_actor := coalesce(NEW.created_by_actor, NEW.created_by::text);
	RETURN NEW;
END $$;
ALTER FUNCTION berth.fill_tenant() OWNER TO berth_system;

CREATE OR REPLACE FUNCTION berth.fill_deployment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
	NEW.organization_id := coalesce(NEW.organization_id, (SELECT c.organization_id FROM public.tenant_containers c WHERE c.id = NEW.container_id));
	NEW.deployed_by := coalesce(NEW.deployed_by, berth.known_user(NEW.deployed_by_actor));
	NEW.deployed_by_actor := coalesce(NEW.deployed_by_actor, NEW.deployed_by::text);
	RETURN NEW;
END $$;
ALTER FUNCTION berth.fill_deployment() OWNER TO berth_system;

CREATE OR REPLACE FUNCTION berth.fill_organization() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
	NEW.organization_id := (SELECT c.organization_id FROM public.tenant_containers c WHERE c.id = NEW.container_id);
	RETURN NEW;
END $$;
ALTER FUNCTION berth.fill_organization() OWNER TO berth_system;

-- Berth's own roles compare and swap revision themselves, and ring themselves.
CREATE OR REPLACE FUNCTION berth.touch_tenant() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
	NEW.updated_at := now();
	NEW.revision := OLD.revision + 1;
	IF NEW.tenant_name <> OLD.tenant_name OR NEW.slug <> OLD.slug THEN
		NEW.search_text := lower(upper(NEW.tenant_name)) || E'\n' || NEW.slug;
	END IF;
	PERFORM pg_notify('berth', NEW.organization_id::text);
	RETURN NEW;
END $$;

-- Others than Berth queue as its writers do: what Berth read stays as it was
-- until it commits.
CREATE OR REPLACE FUNCTION berth.queue_others() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
	PERFORM berth.queue_writers();
	RETURN NULL;
END $$;
ALTER FUNCTION berth.queue_others() OWNER TO berth_system;

-- A deployment that is over is history. Only the link to a user who is removed
-- goes; deployed_by_actor stays.
CREATE OR REPLACE FUNCTION berth.keep_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
	IF NEW.deployed_by IS NULL THEN
		OLD.deployed_by := NULL;
	END IF;
	IF NEW IS DISTINCT FROM OLD THEN
		RAISE EXCEPTION 'deployment % is over, and history is never rewritten', OLD.id USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER fill BEFORE INSERT ON public.tenant_containers FOR EACH ROW EXECUTE FUNCTION berth.fill_tenant();
CREATE OR REPLACE TRIGGER fill BEFORE INSERT ON public.tenant_deployments FOR EACH ROW EXECUTE FUNCTION berth.fill_deployment();
CREATE OR REPLACE TRIGGER fill BEFORE INSERT ON public.tenant_health FOR EACH ROW
	WHEN (NEW.organization_id IS NULL) EXECUTE FUNCTION berth.fill_organization();
CREATE OR REPLACE TRIGGER fill BEFORE INSERT ON public.tenant_resource_usage FOR EACH ROW
	WHEN (NEW.organization_id IS NULL) EXECUTE FUNCTION berth.fill_organization();
CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON public.tenant_containers FOR EACH ROW
	WHEN (current_user NOT IN ('berth_api', 'berth_system')) EXECUTE FUNCTION berth.touch_tenant();
CREATE OR REPLACE TRIGGER queue BEFORE INSERT OR UPDATE OR DELETE ON public.tenant_containers FOR EACH STATEMENT
	WHEN (current_user NOT IN ('berth_api', 'berth_system')) EXECUTE FUNCTION berth.queue_others();
CREATE OR REPLACE TRIGGER queue BEFORE INSERT OR UPDATE OR DELETE ON public.tenant_deployments FOR EACH STATEMENT
	WHEN (current_user NOT IN ('berth_api', 'berth_system')) EXECUTE FUNCTION berth.queue_others();
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON public.tenant_deployments FOR EACH ROW
	WHEN (OLD.status <> 'pending') EXECUTE FUNCTION berth.keep_history();

-- Functions -----------------------------------------------------------------------

-- The ports and subnets of living tenants. Whoever may provision anything must
-- know every one: numbers only, and of no use without the tenants.
CREATE OR REPLACE FUNCTION berth.ports_in_use() RETURNS SETOF integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
	SELECT external_port FROM public.tenant_containers WHERE deprovisioned_at IS NULL AND external_port IS NOT NULL ORDER BY external_port;
END;
ALTER FUNCTION berth.ports_in_use() OWNER TO berth_system;

CREATE OR REPLACE FUNCTION berth.taken_ports() RETURNS SETOF integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
	SELECT port FROM berth.ports_in_use() AS port WHERE (SELECT berth.sees_any() OR berth.is_system()) ORDER BY port;
END;
ALTER FUNCTION berth.taken_ports() OWNER TO berth_system;

CREATE OR REPLACE FUNCTION berth.taken_subnets() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
	SELECT subnet FROM public.tenant_containers
	WHERE deprovisioned_at IS NULL AND subnet IS NOT NULL AND (SELECT berth.sees_any() OR berth.is_system());
END;
ALTER FUNCTION berth.taken_subnets() OWNER TO berth_system;

-- The smallest port that no living tenant has: from 3001 to 32767, without
-- 3008, the control plane's own. The lock is held until the transaction ends,
-- so the caller inserts in the same transaction; two never get the same.
CREATE OR REPLACE FUNCTION public.get_next_available_port() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
	port integer;
BEGIN
	PERFORM berth.queue_writers();
	SELECT min(p) INTO port FROM pg_catalog.generate_series(3001, 32767) AS p
	WHERE p <> 3008 AND p NOT IN (SELECT berth.ports_in_use());
	IF port IS NULL THEN
		RAISE EXCEPTION 'No available ports in valid range'
			USING HINT = 'deprovision a tenant: ports 3001 to 32767 are all taken';
	END IF;
	RETURN port;
END $$;

-- The last five checks of the last five minutes. The seed states its inputs and
-- its four answers, no rule; this one is Berth's: what more than half of the
-- checks say. Where the newest found it well and most did not, it is starting.
-- Without a check it is unknown, and so is a container that the caller can't see.
CREATE OR REPLACE FUNCTION public.get_container_health_status(container_id_param uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = ''
BEGIN ATOMIC
	SELECT CASE
		WHEN count(*) = 0 THEN 'unknown'
		WHEN 2 * count(*) FILTER (WHERE c.status = 'healthy') > count(*) THEN 'healthy'
		WHEN bool_or(c.status = 'healthy' AND c.place = 1) THEN 'starting'
		ELSE 'unhealthy'
	END
	FROM (
		SELECT h.status, row_number() OVER (ORDER BY h.checked_at DESC, h.seq DESC) AS place
		FROM public.tenant_health h
		WHERE h.container_id = container_id_param
			AND h.organization_id = (SELECT t.organization_id FROM public.tenant_containers t WHERE t.id = container_id_param)
			AND h.checked_at >= now() - interval '5 minutes'
		ORDER BY h.checked_at DESC, h.seq DESC LIMIT 5
	) c;
END;

-- What a container used in the last hours. Each period weighs as much as it
-- lasted; a figure that no period knows is NULL. Minutes are taken as far back as
-- they go, then hours, then days, so that nothing counts twice.
CREATE OR REPLACE FUNCTION public.get_container_avg_resource_usage(container_id_param uuid, hours_param integer DEFAULT 24)
RETURNS TABLE (avg_cpu_percent numeric, avg_memory_mb numeric, total_requests bigint, total_errors bigint)
LANGUAGE sql STABLE SET search_path = ''
BEGIN ATOMIC
	WITH periods AS (
		SELECT u.*, extract(epoch FROM u.period_end - u.period_start)::numeric AS seconds
		FROM public.tenant_resource_usage u
		WHERE u.container_id = container_id_param
			AND u.organization_id = (SELECT t.organization_id FROM public.tenant_containers t WHERE t.id = container_id_param)
			AND u.resolution IN ('minute', 'hour', 'day')
			AND u.period_start >= now() - make_interval(hours => hours_param)
			AND u.period_end > u.period_start
	), minutes AS (
		SELECT coalesce(min(period_start), 'infinity') AS since FROM periods WHERE resolution = 'minute'
	), hours AS (
		SELECT least(min(p.period_start), min(m.since)) AS since FROM minutes m
		LEFT JOIN periods p ON p.resolution = 'hour' AND p.period_end <= m.since
	), chosen AS (
		SELECT p.* FROM periods p, minutes m, hours h
		WHERE p.resolution = 'minute' OR p.resolution = 'hour' AND p.period_end <= m.since OR p.resolution = 'day' AND p.period_end <= h.since
	)
	SELECT
		round(sum(cpu_usage_percent_avg * seconds) / nullif(sum(seconds) FILTER (WHERE cpu_usage_percent_avg IS NOT NULL), 0), 2),
		round(sum(memory_usage_mb_avg * seconds) / nullif(sum(seconds) FILTER (WHERE memory_usage_mb_avg IS NOT NULL), 0), 2),
		sum(request_count)::bigint,
		sum(error_count)::bigint
	FROM chosen;
END;

-- Rights ------------------------------------------------------------------------

-- Supabase gives every new table of public to its clients; here each gets what
-- it needs. Nobody deletes a tenant or a deployment, and nobody but Berth
-- changes what was measured.
DO $$
DECLARE
	t text;
	visible  text := '((SELECT berth.sees_all()) OR organization_id = (SELECT berth.own_organization()))';
	writable text := '(SELECT berth.may_write()) AND ' || visible;
BEGIN
	FOREACH t IN ARRAY ARRAY['tenant_containers', 'tenant_health', 'tenant_resource_usage', 'tenant_deployments'] LOOP
		EXECUTE pg_catalog.format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE pg_catalog.format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', t);
		EXECUTE pg_catalog.format('REVOKE ALL ON public.%I FROM PUBLIC, anon, authenticated, service_role, berth_api, berth_system', t);
		IF t <> 'tenant_resource_usage' THEN -- Supabase gives sequences too
			EXECUTE 'REVOKE ALL ON SEQUENCE ' || pg_get_serial_sequence('public.' || t, 'seq') || ' FROM PUBLIC, anon, authenticated, service_role';
		END IF;
		EXECUTE pg_catalog.format('GRANT SELECT ON public.%I TO authenticated', t);
		EXECUTE pg_catalog.format('GRANT SELECT, INSERT ON public.%I TO service_role', t);
		EXECUTE pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO berth_api, berth_system', t);

		EXECUTE pg_catalog.format('DROP POLICY IF EXISTS system ON public.%I', t);
		EXECUTE pg_catalog.format('CREATE POLICY system ON public.%I TO berth_system, service_role USING (true) WITH CHECK (true)', t);
		EXECUTE pg_catalog.format('DROP POLICY IF EXISTS member_reads ON public.%I', t);
		EXECUTE pg_catalog.format($p$CREATE POLICY member_reads ON public.%I FOR SELECT TO authenticated
			USING (organization_id = ANY (ARRAY(SELECT berth.my_organizations('member'))))$p$, t);
		EXECUTE pg_catalog.format('DROP POLICY IF EXISTS api_reads ON public.%I', t);
		EXECUTE pg_catalog.format('CREATE POLICY api_reads ON public.%I FOR SELECT TO berth_api USING (%s)', t, visible);
		EXECUTE pg_catalog.format('DROP POLICY IF EXISTS api_adds ON public.%I', t);
		EXECUTE pg_catalog.format('CREATE POLICY api_adds ON public.%I FOR INSERT TO berth_api WITH CHECK (%s)', t, writable);
		EXECUTE pg_catalog.format('DROP POLICY IF EXISTS api_changes ON public.%I', t);
		EXECUTE pg_catalog.format('DROP POLICY IF EXISTS api_drops ON public.%I', t);
		IF t <> 'tenant_health' THEN
			EXECUTE pg_catalog.format('CREATE POLICY api_changes ON public.%I FOR UPDATE TO berth_api USING (%s) WITH CHECK (%2$s)', t, writable);
		END IF;
	END LOOP;
END $$;

REVOKE DELETE ON public.tenant_containers, public.tenant_deployments FROM berth_api, berth_system;
REVOKE UPDATE ON public.tenant_health FROM berth_api, berth_system;
GRANT UPDATE ON public.tenant_containers TO service_role;

-- What is measured is dropped after a time.
CREATE POLICY api_drops ON public.tenant_health FOR DELETE TO berth_api
	USING ((SELECT berth.installation()));
CREATE POLICY api_drops ON public.tenant_resource_usage FOR DELETE TO berth_api
	USING ((SELECT berth.may_write()) AND ((SELECT berth.sees_all()) OR organization_id = (SELECT berth.own_organization())));

-- An admin manages the tenant: renames it, and has it run or stopped, where the
-- operator allows it (045_people.sql). To provision, to size and to choose what
-- runs stays Berth's, as it does in its API.
GRANT UPDATE (tenant_name, want) ON public.tenant_containers TO authenticated;
DROP POLICY IF EXISTS admin_changes ON public.tenant_containers;
CREATE POLICY admin_changes ON public.tenant_containers FOR UPDATE TO authenticated
	USING (deprovisioned_at IS NULL AND organization_id = ANY (ARRAY(SELECT berth.my_organizations('admin'))))
	WITH CHECK (organization_id = ANY (ARRAY(SELECT berth.my_organizations('admin'))));

REVOKE ALL ON FUNCTION public.get_next_available_port(), public.get_container_health_status(uuid),
	public.get_container_avg_resource_usage(uuid, integer) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION public.get_next_available_port() TO service_role, berth_api, berth_system;
GRANT EXECUTE ON FUNCTION public.get_container_health_status(uuid), public.get_container_avg_resource_usage(uuid, integer)
	TO authenticated, service_role, berth_api, berth_system;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA berth FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION berth.claim(text), berth.actor(), berth.installation(), berth.managed_organization(), berth.sees_all(), berth.sees_any(),
	berth.own_organization(), berth.may_write(), berth.is_system(), berth.queue_writers(), berth.taken_ports(), berth.taken_subnets() TO berth_api, berth_system;
GRANT EXECUTE ON FUNCTION berth.signed_in() TO berth_system;
-- For policies; without USAGE of the schema, authenticated can't call it itself.
GRANT EXECUTE ON FUNCTION berth.my_organizations(text) TO authenticated;
DO $$
BEGIN -- get_next_available_port runs as its owner, who migrated first
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION berth.ports_in_use(), berth.queue_writers() TO %I',
		(SELECT pg_catalog.pg_get_userbyid(proowner) FROM pg_catalog.pg_proc WHERE oid = 'public.get_next_available_port()'::regprocedure));
END $$;

REVOKE CREATE ON SCHEMA berth FROM berth_system;
COMMIT;
