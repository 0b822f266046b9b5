-- Foreign objects that were told of: each is told of once, however long it stays
-- and whatever comes of it.

BEGIN;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(7239481041701); END $$; -- one migrator at a time
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';

CREATE TABLE IF NOT EXISTS berth.foreign_objects (
	engine_id TEXT NOT NULL,
	kind      TEXT NOT NULL,
	object_id TEXT NOT NULL, -- the engine's; the name of what has none
	found_at  TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (engine_id, kind, object_id)
);

ALTER TABLE berth.foreign_objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE berth.foreign_objects FORCE ROW LEVEL SECURITY;
REVOKE ALL ON berth.foreign_objects FROM PUBLIC, anon, authenticated, service_role, berth_api, berth_system;
GRANT SELECT, INSERT ON berth.foreign_objects TO berth_system, berth_api;
DROP POLICY IF EXISTS system ON berth.foreign_objects;
CREATE POLICY system ON berth.foreign_objects TO berth_system USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS api_reads ON berth.foreign_objects;
CREATE POLICY api_reads ON berth.foreign_objects FOR SELECT TO berth_api USING ((SELECT berth.installation()));
DROP POLICY IF EXISTS api_adds ON berth.foreign_objects;
CREATE POLICY api_adds ON berth.foreign_objects FOR INSERT TO berth_api WITH CHECK ((SELECT berth.installation()));

COMMIT;
