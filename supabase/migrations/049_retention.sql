-- What is over is dropped after a time, by the loop alone: see docs/retention.md.

BEGIN;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(7239481041701); END $$; -- one migrator at a time
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';

CREATE INDEX IF NOT EXISTS tenant_containers_removed ON public.tenant_containers (deprovisioned_at) WHERE deprovisioned_at IS NOT NULL;
DROP INDEX IF EXISTS public.tenant_deployments_rollback;
CREATE INDEX tenant_deployments_rollback ON public.tenant_deployments (rollback_deployment_id, seq) WHERE rollback_deployment_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS tokens_expiry       ON berth.tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS tokens_revoked      ON berth.tokens (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS invitations_expiry  ON berth.invitations (expires_at);
CREATE INDEX IF NOT EXISTS invitations_revoked ON berth.invitations (revoked_at) WHERE revoked_at IS NOT NULL;

GRANT DELETE ON public.tenant_containers, public.tenant_deployments, berth.secret_versions, berth.tokens, berth.invitations TO berth_system;

-- Whatever the loop asks for: a tenant that lives and a deployment that is open stay.
DROP POLICY IF EXISTS system_drops ON public.tenant_containers;
CREATE POLICY system_drops ON public.tenant_containers AS RESTRICTIVE FOR DELETE TO berth_system USING (deprovisioned_at IS NOT NULL);
DROP POLICY IF EXISTS system_drops ON public.tenant_deployments;
CREATE POLICY system_drops ON public.tenant_deployments AS RESTRICTIVE FOR DELETE TO berth_system USING (status <> 'pending');

-- A deployment that is over is history. Only links go: to a user who is removed
-- (deployed_by_actor stays), and to an older deployment that the loop drops.
CREATE OR REPLACE FUNCTION berth.keep_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
	IF NEW.deployed_by IS NULL THEN
		OLD.deployed_by := NULL;
	END IF;
	IF NEW.rollback_deployment_id IS NULL AND current_user = 'berth_system' THEN
		OLD.rollback_deployment_id := NULL;
	END IF;
	IF NEW IS DISTINCT FROM OLD THEN
		RAISE EXCEPTION 'deployment % is over, and history is never rewritten', OLD.id USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	RETURN NEW;
END $$;

COMMIT;
