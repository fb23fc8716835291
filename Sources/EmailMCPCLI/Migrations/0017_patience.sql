-- A mail is given up when Gmail, or a token, could not be had for a day. That day was counted from the mail's acceptance, so
-- that one that had waited (for its time, its account, its mailbox's day) failed for good at the first broken connection.
-- Now it is counted from the first failure in a row, which the job keeps.

ALTER TABLE send_jobs
  ADD COLUMN failing_since timestamptz;                     -- the first failure in a row; null: the last try was none

DROP FUNCTION emailmcp.requeue_job(
  text, text, uuid, timestamptz, bigint, text, timestamptz, integer, text, text, text, bytea, timestamptz, boolean, jsonb);
-- Gives a mail back to the queue for `p_run_at`; false when the lease is no longer the caller's.
-- `p_mailbox_free_at`: when it is not null, nothing of this mailbox goes before. `p_was_sent`: it may have reached Gmail,
-- so its recipients count against the mailbox's day.
-- A mail that waits for its account to be connected again makes the rest of that user's due mail wait for it: one mail looks
-- now and then whether the account is back, the others cost nothing until then (record_intents, unpark_jobs).
CREATE FUNCTION emailmcp.requeue_job(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_epoch bigint, p_google_sub text,
  p_run_at timestamptz, p_attempts integer, p_parked text, p_error_code text, p_error_message text, p_payload bytea,
  p_mailbox_free_at timestamptz, p_was_sent boolean, p_timeline jsonb, p_failing_since timestamptz DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  counted integer;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE send_jobs
    SET lease_owner = NULL, lease_until = NULL, intent = false, intent_at = NULL, run_at = p_run_at,
        attempts = p_attempts, parked = p_parked, failing_since = p_failing_since,
        payload = coalesce(p_payload, payload)
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND epoch = p_epoch
    RETURNING recipients INTO counted;
  IF counted IS NULL THEN
    RETURN false;
  END IF;
  IF p_parked = 'reauth_required' THEN
    UPDATE send_jobs SET run_at = 'infinity', parked = p_parked, failing_since = NULL
      WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id <> p_id
        AND mailbox = p_google_sub COLLATE "C" AND lease_until IS NULL AND run_at <= clock_timestamp();
  END IF;
  UPDATE email_logs
    SET status = 'queued', attempts = p_attempts, error_code = p_error_code, error_message = p_error_message,
        timeline = timeline || p_timeline
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  UPDATE mailboxes SET waiting = true WHERE google_sub = p_google_sub COLLATE "C" AND in_flight_job = p_id;
  PERFORM emailmcp.release_mailboxes(
    ARRAY[p_google_sub], ARRAY[p_id], ARRAY[coalesce(p_mailbox_free_at, '-infinity')], ARRAY[p_parked],
    ARRAY[CASE WHEN p_was_sent THEN 0 ELSE counted END]);
  RETURN true;
END $$;

DROP FUNCTION emailmcp.claim_jobs(text, integer, interval, double precision, integer, integer, integer);
-- Leases up to `p_limit` due jobs for `p_worker`, at most one a mailbox: interactive mail and lapsed leases first, with
-- every ninth place for the rest; tenants in turn; oldest first within one.
-- A job whose lease lapsed is claimed again with the next epoch; it comes with `intent` as the last worker left it:
-- true means that its outcome is unknown and that it must not simply be sent. Its recipients are counted already.
-- A mailbox whose day has no room for its next mail sleeps until it has.
-- `failing_since`: null where the mail was due for an hour and nobody tried it; what comes then is a row of its own.
-- A payload over `p_inline_bytes` comes as null: read it by itself.
CREATE FUNCTION emailmcp.claim_jobs(
  p_worker text, p_limit integer, p_lease interval, p_interval double precision, p_burst integer, p_day_limit integer,
  p_inline_bytes integer DEFAULT 262144)
RETURNS TABLE (
  tenant_id text, user_id text, id uuid, created_at timestamptz, mailbox text, class smallint, run_at timestamptz,
  attempts integer, on_ambiguous text, recipients integer, epoch bigint, lease_until timestamptz, intent boolean,
  intent_at timestamptz, cancel_requested boolean, payload_bytes integer, payload bytea, failing_since timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  this_hour timestamptz := date_bin('1 hour', moment, 'epoch');
  ready text[];
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  IF p_limit NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'p_limit must be between 1 and 1000' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Lock the mailboxes first; their queues are looked at by the next statement's snapshot (see release_mailboxes).
  ready := emailmcp.due_mailboxes(p_limit, moment);
  IF ready = '{}' THEN
    PERFORM set_config('emailmcp.scope', outer_scope, true);
    RETURN;
  END IF;
  PERFORM emailmcp.roll_usage(ready, this_hour);
  RETURN QUERY
  WITH lapsed AS MATERIALIZED (
    -- Few, and found by their leases: looked for by mailbox they would cost the mailbox's whole queue.
    SELECT s.mailbox, s.tenant_id, s.user_id, s.id FROM send_jobs s
    WHERE s.lease_until <= moment ORDER BY s.lease_until LIMIT 2000
  ), head AS MATERIALIZED (
    SELECT r.google_sub, j.tenant_id, j.user_id, j.id, j.run_at, j.recipients, j.rank = 0 AS lapsed,
           j.class % 2 <> 0 AND j.rank > 0 AS is_bulk,
           emailmcp.day_room(m.usage_before + m.usage_now, p_day_limit, m.day_limit, m.day_limit_until, moment) AS room,
           row_number() OVER (
             PARTITION BY j.tenant_id, j.class % 2 <> 0 AND j.rank > 0 ORDER BY j.run_at, j.id) AS turn
    FROM unnest(ready) AS r (google_sub) JOIN mailboxes m ON m.google_sub = r.google_sub COLLATE "C"
    CROSS JOIN LATERAL (
      SELECT * FROM (
        SELECT * FROM (
          SELECT 0 AS rank, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM lapsed l
          JOIN send_jobs s ON s.tenant_id = l.tenant_id AND s.user_id = l.user_id AND s.id = l.id
          WHERE l.mailbox = r.google_sub COLLATE "C" AND s.lease_until <= moment
          LIMIT 1 FOR UPDATE OF s SKIP LOCKED) AS a
        UNION ALL
        SELECT * FROM (
          SELECT 1, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM send_jobs s
          WHERE s.mailbox = r.google_sub COLLATE "C" AND s.class IN (0, 2) AND s.lease_until IS NULL
            AND s.run_at <= moment
          ORDER BY s.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS b
        UNION ALL
        SELECT * FROM (
          SELECT 2, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM send_jobs s
          WHERE s.mailbox = r.google_sub COLLATE "C" AND s.lease_until IS NULL AND s.run_at <= moment
          ORDER BY s.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS c
      ) AS any_of ORDER BY rank LIMIT 1
    ) AS j
  ), chosen AS MATERIALIZED (
    SELECT * FROM head WHERE lapsed OR recipients <= room
    ORDER BY turn * CASE WHEN is_bulk THEN 8 ELSE 1 END, is_bulk, run_at, id LIMIT p_limit
  ), busy AS (
    UPDATE mailboxes m
      SET in_flight_job = c.id, in_flight_until = moment + p_lease, wake_at = moment + p_lease, urgent_at = NULL,
          paused_reason = NULL, waiting = true,
          (credit, next_free_at, pace_until) = (
            SELECT t.credit, t.next_free_at, t.pace_until FROM emailmcp.paced_turn(
              m.pace_until, m.credit, m.share, m.share_at, moment, p_interval, p_burst) AS t),
          usage_hour = this_hour, usage_now = m.usage_now + CASE WHEN c.lapsed THEN 0 ELSE c.recipients END
      FROM chosen c WHERE m.google_sub = c.google_sub
  ), full_day AS (
    UPDATE mailboxes m
      SET (next_free_at, wake_at) = (SELECT f, f
            FROM emailmcp.day_frees_at(h.google_sub, this_hour, h.recipients - h.room) AS f),
          urgent_at = NULL, paused_reason = 'daily_limit', waiting = true
      FROM head h WHERE m.google_sub = h.google_sub AND NOT h.lapsed AND h.recipients > h.room
  ), idle AS (
    UPDATE mailboxes m
      SET (wake_at, urgent_at, wake_tenant, waiting) = (
        SELECT t.wake, t.urgent, t.tenant, t.wake IS NOT NULL FROM emailmcp.next_turn(m.google_sub, m.next_free_at) AS t)
      WHERE m.google_sub = ANY (ready) AND NOT EXISTS (SELECT FROM head h WHERE h.google_sub = m.google_sub)
  )
  UPDATE send_jobs s
    SET epoch = s.epoch + 1, lease_owner = p_worker, lease_until = moment + p_lease
    FROM chosen c WHERE s.tenant_id = c.tenant_id AND s.user_id = c.user_id AND s.id = c.id
  RETURNING s.tenant_id, s.user_id, s.id, s.created_at, s.mailbox, s.class, s.run_at, s.attempts, s.on_ambiguous,
    s.recipients, s.epoch, s.lease_until, s.intent, s.intent_at, s.cancel_requested, octet_length(s.payload),
    CASE WHEN octet_length(s.payload) <= p_inline_bytes THEN s.payload END,
    CASE WHEN s.run_at > moment - interval '1 hour' THEN s.failing_since END;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
