-- What is read by engine, and what is dropped by age, is found by an index.

BEGIN;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(7239481041701); END $$; -- one migrator at a time
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = '';

CREATE INDEX IF NOT EXISTS tenant_containers_engine ON public.tenant_containers (engine_id, seq) WHERE deprovisioned_at IS NULL;
CREATE INDEX IF NOT EXISTS events_time              ON berth.events (occurred_at, seq);

COMMIT;
