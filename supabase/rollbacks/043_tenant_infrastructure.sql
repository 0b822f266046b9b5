-- Takes back migrations/043_tenant_infrastructure.sql. What the migration found
-- stays: organizations, user_profiles, user_organizations and auth are dropped
-- only if it made them. Roles stay, because they belong to the whole cluster.
-- Refuses while a tenant lives.

BEGIN;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(7239481041701); END $$;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';

DO $$
DECLARE
	made text[] := '{}';
	t text;
BEGIN
	IF to_regclass('public.tenant_containers') IS NOT NULL THEN
		LOCK TABLE public.tenant_containers IN SHARE MODE;
		IF NOT pg_has_role(current_user, 'berth_system', 'USAGE') THEN
			RAISE EXCEPTION 'only a member of berth_system sees what lives' USING HINT = 'go down as whoever migrated';
		END IF;
		IF EXISTS (SELECT FROM public.tenant_containers WHERE deprovisioned_at IS NULL) THEN
			RAISE EXCEPTION 'tenants live: going down would lose them' USING HINT = 'deprovision them first';
		END IF;
	END IF;
	IF to_regnamespace('berth') IS NULL THEN
		RETURN;
	END IF;
	DROP FUNCTION IF EXISTS public.get_next_available_port(), public.get_container_health_status(uuid),
		public.get_container_avg_resource_usage(uuid, integer), berth.taken_ports(), berth.taken_subnets(), berth.ports_in_use();
	DROP TABLE IF EXISTS public.tenant_deployments, public.tenant_resource_usage, public.tenant_health, public.tenant_containers;
	made := ARRAY(SELECT object FROM berth.made);

	FOREACH t IN ARRAY ARRAY['user_organizations', 'user_profiles', 'organizations'] LOOP
		CONTINUE WHEN to_regclass('public.' || t) IS NULL;
		EXECUTE pg_catalog.format('DROP POLICY IF EXISTS berth_system ON public.%I', t);
		EXECUTE pg_catalog.format('REVOKE ALL ON public.%I FROM berth_system', t);
		IF 'table public.' || t = ANY (made) THEN
			EXECUTE pg_catalog.format('DROP POLICY IF EXISTS member_reads ON public.%I', t);
			EXECUTE pg_catalog.format('DROP POLICY IF EXISTS user_reads ON public.%I', t);
		END IF;
	END LOOP;
	DROP FUNCTION IF EXISTS berth.queue_others(), berth.touch_tenant(), berth.keep_history(), berth.fill_tenant(), berth.fill_deployment(),
		berth.fill_organization(), berth.known_user(text), berth.my_organizations(text), berth.may_write(), berth.sees_any(), berth.sees_all(), berth.own_organization(), berth.installation(), berth.managed_organization(), berth.actor(),
		berth.claim(text), berth.is_system(), berth.signed_in(), berth.queue_writers();
	FOREACH t IN ARRAY ARRAY['user_organizations', 'user_profiles', 'organizations'] LOOP
		IF 'table public.' || t = ANY (made) THEN
			EXECUTE pg_catalog.format('DROP TABLE IF EXISTS public.%I', t); -- refused, if another program's table refers to it
		END IF;
	END LOOP;
	IF 'function auth.uid()' = ANY (made) THEN
		DROP FUNCTION IF EXISTS auth.uid();
	END IF;
	IF 'schema auth' = ANY (made) THEN
		DROP SCHEMA auth;
	END IF;
	DROP TABLE berth.made;
	DROP TABLE IF EXISTS berth.schema_migrations; -- the record of berth migrate
	DROP SCHEMA berth;
	REVOKE USAGE ON SCHEMA public FROM berth_api, berth_system;
END $$;
COMMIT;
