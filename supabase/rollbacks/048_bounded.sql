-- Takes back migrations/048_bounded.sql. Nothing is lost by it; it refuses while a
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
END $$;

DROP FUNCTION IF EXISTS berth.organizations_after(uuid, bigint), berth.users_after(uuid, bigint), berth.user_of_address(text);
DROP INDEX IF EXISTS berth.channels_organization, berth.channels_id, berth.secret_versions_id, berth.volumes_name;
DO $$
BEGIN -- the record of berth migrate, if it laid the schema
	IF to_regclass('berth.schema_migrations') IS NOT NULL THEN
		DELETE FROM berth.schema_migrations WHERE version = 48;
	END IF;
END $$;

COMMIT;
