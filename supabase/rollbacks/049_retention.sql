-- Takes back migrations/049_retention.sql. Nothing is lost by it; it refuses while a
-- tenant lives as the whole way down does, so that none of it is gone half.

BEGIN;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(7239481041701); END $$;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';

DO $$
BEGIN
	IF to_regclass('public.tenant_containers') IS NULL THEN
		RETURN;
	END IF;
	LOCK TABLE public.tenant_containers IN SHARE MODE;
	IF NOT pg_has_role(current_user, 'berth_system', 'USAGE') THEN
		RAISE EXCEPTION 'only a member of berth_system sees what lives' USING HINT = 'go down as whoever migrated';
	END IF;
	IF EXISTS (SELECT FROM public.tenant_containers WHERE deprovisioned_at IS NULL) THEN
		RAISE EXCEPTION 'tenants live: going down would lose them' USING HINT = 'deprovision them first';
	END IF;
	REVOKE DELETE ON public.tenant_containers, public.tenant_deployments, berth.secret_versions, berth.tokens, berth.invitations FROM berth_system;
	DROP POLICY IF EXISTS system_drops ON public.tenant_containers;
	DROP POLICY IF EXISTS system_drops ON public.tenant_deployments;
	DROP INDEX IF EXISTS public.tenant_deployments_rollback;
	CREATE INDEX tenant_deployments_rollback ON public.tenant_deployments (rollback_deployment_id) WHERE rollback_deployment_id IS NOT NULL;
	CREATE OR REPLACE FUNCTION berth.keep_history() RETURNS trigger
	LANGUAGE plpgsql SET search_path = '' AS $body$
BEGIN
	IF NEW.deployed_by IS NULL THEN
		OLD.deployed_by := NULL;
	END IF;
	IF NEW IS DISTINCT FROM OLD THEN
		RAISE EXCEPTION 'deployment % is over, and history is never rewritten', OLD.id USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	RETURN NEW;
END $body$;
END $$;

DROP INDEX IF EXISTS public.tenant_containers_removed;
DROP INDEX IF EXISTS berth.tokens_expiry, berth.tokens_revoked, berth.invitations_expiry, berth.invitations_revoked;
DO $$
BEGIN -- the record of berth migrate, if it laid the schema
	IF to_regclass('berth.schema_migrations') IS NOT NULL THEN
		DELETE FROM berth.schema_migrations WHERE version = 49;
	END IF;
END $$;

COMMIT;
