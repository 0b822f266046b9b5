-- Takes back migrations/044_control_plane.sql. Refuses while a tenant lives.

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
END $$;

DROP TABLE IF EXISTS berth.deliveries, berth.channels, berth.outbox, berth.pulled_images, berth.tenant_health_rollups, berth.usage_marks,
	berth.blueprints, berth.events, berth.requests, berth.volumes, berth.registry_credentials, berth.secret_versions,
	berth.engine_leases, berth.installation;
DO $$
BEGIN -- the record of berth migrate, if it laid the schema
	IF to_regclass('berth.schema_migrations') IS NOT NULL THEN
		DELETE FROM berth.schema_migrations WHERE version = 44;
	END IF;
END $$;
COMMIT;
