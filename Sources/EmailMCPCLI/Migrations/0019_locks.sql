-- What still took mailboxes in no order, or waited for one while it held another: the upkeep of lapsed leases and of wake
-- times, and batches of more than one tenant, which locked one tenant's mailboxes after another's. Two of them could wait
-- for each other until Postgres ended one, a second later.

-- Locks what a batch of several tenants will touch, before the first of them does: its jobs by their keys, then its
-- mailboxes by google_sub. Scope queue: it names jobs and mailboxes of all of them, and answers nothing.
CREATE FUNCTION emailmcp.lock_batch(p_tenant_ids text[], p_user_ids text[], p_ids uuid[], p_google_subs text[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  PERFORM FROM send_jobs s
    JOIN unnest(p_tenant_ids, p_user_ids, p_ids) AS b (tenant_id, user_id, id)
      ON s.tenant_id = b.tenant_id COLLATE "C" AND s.user_id = b.user_id COLLATE "C" AND s.id = b.id
    ORDER BY s.tenant_id, s.user_id, s.id FOR UPDATE OF s;
  PERFORM emailmcp.lock_mailboxes(p_google_subs);
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Wakes the mailboxes whose worker has let a lease lapse, before all bulk mail; answers how many. A worker runs this once
-- a second, and leaves to the next time what another transaction holds.
CREATE OR REPLACE FUNCTION emailmcp.wake_lapsed() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  woken bigint;
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  WITH lapsed AS MATERIALIZED (
    SELECT DISTINCT mailbox FROM send_jobs WHERE lease_until <= moment LIMIT 10000
  ), free AS MATERIALIZED (
    SELECT m.google_sub FROM mailboxes m JOIN lapsed l ON l.mailbox = m.google_sub
    WHERE m.in_flight_until <= moment AND (m.urgent_at IS NULL OR m.urgent_at > moment)
    FOR NO KEY UPDATE OF m SKIP LOCKED
  )
  UPDATE mailboxes m SET wake_at = least(m.wake_at, moment), urgent_at = moment, waiting = true
    FROM free WHERE m.google_sub = free.google_sub;
  GET DIAGNOSTICS woken = ROW_COUNT;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN woken;
END $$;

-- Repairs `wake_at`, `urgent_at` and `wake_tenant` from the queue itself. The functions above keep them right; a worker
-- runs this once a minute so that no mistake can strand a mail. What another transaction holds is for the next time.
CREATE OR REPLACE FUNCTION emailmcp.repair_wakes() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  repaired bigint;
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  WITH wrong AS MATERIALIZED (
    SELECT s.mailbox, min(s.run_at) AS wake, min(s.run_at) FILTER (WHERE s.class IN (0, 2)) AS urgent,
        (array_agg(s.tenant_id ORDER BY s.run_at))[1] AS tenant, bool_or(b.google_sub IS NULL) AS is_missing
      FROM send_jobs s LEFT JOIN mailboxes b ON b.google_sub = s.mailbox
      WHERE (s.lease_until IS NULL OR s.lease_until < now())
        AND (b.google_sub IS NULL OR b.wake_at IS NULL OR b.wake_tenant IS NULL
          OR b.wake_at > greatest(s.run_at, b.next_free_at, b.in_flight_until)
          OR s.class IN (0, 2) AND (b.urgent_at IS NULL
            OR b.urgent_at > greatest(s.run_at, b.next_free_at, b.in_flight_until)))
      GROUP BY s.mailbox
  ), free AS MATERIALIZED (
    SELECT m.google_sub, w.wake, w.urgent, w.tenant FROM mailboxes m JOIN wrong w ON w.mailbox = m.google_sub
    FOR NO KEY UPDATE OF m SKIP LOCKED
  ), righted AS (
    UPDATE mailboxes m
      SET wake_at = least(m.wake_at, greatest(f.wake, m.next_free_at, m.in_flight_until)),
          urgent_at = CASE WHEN f.urgent IS NULL THEN m.urgent_at
            ELSE least(m.urgent_at, greatest(f.urgent, m.next_free_at, m.in_flight_until)) END,
          wake_tenant = coalesce(m.wake_tenant, f.tenant), waiting = true
      FROM free f WHERE m.google_sub = f.google_sub
    RETURNING 1
  ), made AS (
    INSERT INTO mailboxes (google_sub, wake_at, urgent_at, wake_tenant, waiting)
    SELECT w.mailbox, w.wake, w.urgent, w.tenant, true FROM wrong w WHERE w.is_missing ORDER BY w.mailbox
    ON CONFLICT (google_sub) DO NOTHING
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM righted) + (SELECT count(*) FROM made) INTO repaired;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN repaired;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
