-- Takes back migrations/045_people.sql, the audit log with it. Refuses while a
-- tenant lives.

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
	DROP TRIGGER IF EXISTS self_service ON public.tenant_containers;
END $$;

DROP VIEW IF EXISTS berth.users, berth.memberships, berth.organizations;
DROP TABLE IF EXISTS berth.organization_settings, berth.user_settings, berth.identities, berth.sessions, berth.invitations,
	berth.tokens, berth.audit_log;
DO $$
BEGIN
	IF to_regnamespace('berth') IS NOT NULL THEN
		DROP FUNCTION IF EXISTS berth.self_service(), berth.refuse_change(), berth.put_organization(uuid, text, integer, timestamptz),
			berth.know_organization(uuid, text, timestamptz), berth.put_user(uuid, text, text, text, boolean, timestamptz, timestamptz),
			berth.put_membership(uuid, uuid, text, timestamptz), berth.drop_membership(uuid, uuid), berth.check_write(uuid), berth.check_manage(uuid), berth.chain_ends(),
			berth.audit_change(uuid, text, text, text);
	END IF;
END $$;
DO $$
BEGIN -- the record of berth migrate, if it laid the schema
	IF to_regclass('berth.schema_migrations') IS NOT NULL THEN
		DELETE FROM berth.schema_migrations WHERE version = 45;
	END IF;
END $$;
COMMIT;
