-- What grows is found by an index, also where a page of it is asked for: each
-- statement of Berth's is planned with ten thousand tenants, see store/postgres.

BEGIN;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(7239481041701); END $$; -- one migrator at a time
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';
GRANT CREATE ON SCHEMA berth TO berth_system; -- until the end of this file

CREATE INDEX IF NOT EXISTS channels_organization ON berth.channels (organization_id, seq);
-- Pages that are in the order of bytes, whatever the database's is.
CREATE INDEX IF NOT EXISTS channels_id           ON berth.channels (id COLLATE "C") WHERE ciphertext IS NOT NULL;
CREATE INDEX IF NOT EXISTS secret_versions_id    ON berth.secret_versions (id COLLATE "C");
CREATE INDEX IF NOT EXISTS volumes_name          ON berth.volumes (name COLLATE "C") WHERE deleted_at IS NULL;

-- A view that keeps its rows from who asks is read as a whole before it is put in
-- order. So whose turn it is on a page is asked for first.
CREATE OR REPLACE FUNCTION berth.organizations_after(after uuid, most bigint) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = ''
BEGIN ATOMIC
	SELECT o.id FROM public.organizations o WHERE o.id > after AND (SELECT berth.sees_all() OR berth.is_system()) ORDER BY o.id LIMIT most;
END;
ALTER FUNCTION berth.organizations_after(uuid, bigint) OWNER TO berth_system;

CREATE OR REPLACE FUNCTION berth.users_after(after uuid, most bigint) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = ''
BEGIN ATOMIC
	SELECT u.id FROM public.user_profiles u WHERE u.id > after AND (SELECT berth.installation() OR berth.is_system()) ORDER BY u.id LIMIT most;
END;
ALTER FUNCTION berth.users_after(uuid, bigint) OWNER TO berth_system;

-- Who a folded address belongs to, for who sees everybody.
CREATE OR REPLACE FUNCTION berth.user_of_address(folded text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
	SELECT s.user_id FROM berth.user_settings s WHERE s.email_folded = folded AND (SELECT berth.installation() OR berth.is_system());
END;
ALTER FUNCTION berth.user_of_address(text) OWNER TO berth_system;

REVOKE ALL ON FUNCTION berth.organizations_after(uuid, bigint), berth.users_after(uuid, bigint), berth.user_of_address(text) FROM PUBLIC, anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION berth.organizations_after(uuid, bigint), berth.users_after(uuid, bigint), berth.user_of_address(text) TO berth_api, berth_system;

REVOKE CREATE ON SCHEMA berth FROM berth_system;
COMMIT;
