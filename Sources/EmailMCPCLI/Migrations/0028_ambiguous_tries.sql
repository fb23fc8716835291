-- How many tries a mail may have under `retry`, and whether it can be taken back, went by all its tries. A mail that Gmail
-- had only told to wait could not be taken back, and was given up as unknown after one request of unknown fate instead of
-- five. Those are counted by themselves now; what was tried before counts as it did.

ALTER TABLE send_jobs ADD COLUMN ambiguous_tries integer NOT NULL DEFAULT 0;  -- requests whose fate nobody knows
SELECT set_config('emailmcp.scope', 'queue', true);
UPDATE send_jobs SET ambiguous_tries = attempts WHERE on_ambiguous = 'retry' AND attempts > 0;

-- A mail with more recipients than its mailbox's day had room for was put off again and again while small ones kept using
-- the room up. After a day of that the room is kept for it.
ALTER TABLE send_jobs ADD COLUMN put_off_at timestamptz;      -- since when it has waited for its mailbox's day
CREATE INDEX send_jobs_put_off ON send_jobs (mailbox, put_off_at) WHERE put_off_at IS NOT NULL;

-- Leases up to `p_limit` due jobs for `p_worker`, at most one a mailbox: interactive mail and lapsed leases first, with
-- every ninth place for the rest; tenants in turn, and a tenant's mailboxes. The session remembers the turns
-- (`emailmcp.turn` of bulk, `emailmcp.urgent_turn` of interactive mail) and the places since the last of bulk mail
-- (`emailmcp.since_bulk`), so that many small claims share as one large one does.
-- A job whose lease lapsed is claimed again with the next epoch; it comes with `intent` as the last worker left it:
-- true means that its outcome is unknown and that it must not simply be sent. Its recipients are counted already, and
-- so is the try that it lapsed in: counted by who claims it, it would be forgotten when that one dies too. Under `hold` such
-- a job is for claim_lost.
-- A mail with more recipients than its mailbox's day has room for is put off by itself; a mailbox whose day is used up
-- sleeps until it has room. A mail that has been put off for 24 hours comes before all of its mailbox but lapsed leases, and
-- the mailbox sleeps until it has room for it.
-- `failing_since`: null where the mail was due for an hour and nobody tried it; what comes then is a row of its own.
-- `p_lapsed`: false leaves alone what has a lease, lapsed or not.
-- A payload over `p_inline_bytes` comes as null: read it by itself.
DROP FUNCTION emailmcp.claim_jobs(text, integer, interval, double precision, integer, integer, integer);
CREATE FUNCTION emailmcp.claim_jobs(
  p_worker text, p_limit integer, p_lease interval, p_interval double precision, p_burst integer, p_day_limit integer,
  p_inline_bytes integer DEFAULT 262144, p_lapsed boolean DEFAULT true)
RETURNS TABLE (
  tenant_id text, user_id text, id uuid, created_at timestamptz, mailbox text, class smallint, run_at timestamptz,
  attempts integer, on_ambiguous text, recipients integer, epoch bigint, lease_until timestamptz, intent boolean,
  intent_at timestamptz, cancel_requested boolean, payload_bytes integer, payload bytea, failing_since timestamptz,
  ambiguous_tries integer, parked text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  this_hour timestamptz := date_bin('1 hour', moment, 'epoch');
  bulk_after text := coalesce(current_setting('emailmcp.turn', true), '');
  urgent_after text := coalesce(current_setting('emailmcp.urgent_turn', true), '');
  since_bulk bigint := coalesce(nullif(current_setting('emailmcp.since_bulk', true), ''), '0')::bigint;
  ready text[];
  others text[];
  bulk_until text;
  urgent_until text;
  heads emailmcp.queue_head[];
  idle text[];
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  IF p_limit NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'p_limit must be between 1 and 1000' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Lock the mailboxes first; their queues are looked at by the next statement's snapshot (see release_mailboxes).
  ready := emailmcp.longest_due(false, p_limit * 4, moment, '{}');
  -- Of any kind: of a mailbox whose interactive mail is not due yet the bulk mail may be.
  SELECT coalesce(array_agg(w.google_sub), '{}') INTO others FROM (
    SELECT m.google_sub FROM mailboxes m
    WHERE m.wake_at <= moment AND m.next_free_at <= moment AND m.in_flight_until <= moment
      AND NOT m.google_sub = ANY (ready)
    ORDER BY m.wake_at LIMIT p_limit FOR UPDATE SKIP LOCKED) AS w;
  ready := ready || others;
  IF cardinality(others) = p_limit THEN
    -- There are more.
    ready := ready || emailmcp.longest_due(true, p_limit, moment, ready);
    SELECT ready || t.boxes, t.p_until INTO ready, urgent_until
      FROM emailmcp.due_by_turn(false, urgent_after, p_limit * 4, moment, ready) AS t;
    SELECT ready || t.boxes, t.p_until INTO ready, bulk_until
      FROM emailmcp.due_by_turn(true, bulk_after, p_limit * 4, moment, ready) AS t;
  END IF;
  IF ready = '{}' THEN
    PERFORM set_config('emailmcp.scope', outer_scope, true);
    RETURN;
  END IF;
  PERFORM emailmcp.roll_usage(ready, this_hour);
  WITH lapsed AS MATERIALIZED (
    -- Few, and found by their leases: looked for by mailbox they would cost the mailbox's whole queue.
    SELECT s.mailbox, s.tenant_id, s.user_id, s.id FROM send_jobs s
    WHERE p_lapsed AND s.lease_until <= moment AND NOT (s.intent AND s.on_ambiguous = 'hold')
    ORDER BY s.lease_until LIMIT 2000
  ), head AS MATERIALIZED (
    SELECT r.google_sub, j.tenant_id, j.user_id, j.id, j.run_at, j.recipients, j.rank = 0 AS lapsed,
           j.class % 2 <> 0 AND j.rank > 0 AS is_bulk,
           -- When it was due, or its mailbox's last turn ended: who has just had one stands behind those who wait.
           CASE WHEN j.rank <= 1 THEN j.run_at ELSE greatest(j.run_at, m.wake_at) END AS due_at,
           -- The room is kept for a mail that has waited for it: without enough for that there is none.
           CASE WHEN j.rank = 1 AND j.recipients > d.room THEN d.room - j.recipients + 1 ELSE d.room END AS room
    FROM unnest(ready) AS r (google_sub) JOIN mailboxes m ON m.google_sub = r.google_sub COLLATE "C"
    CROSS JOIN LATERAL (
      SELECT emailmcp.day_room(m.usage_before + m.usage_now, p_day_limit, m.day_limit, m.day_limit_until, moment) AS room
      OFFSET 0) AS d
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
          WHERE s.mailbox = r.google_sub COLLATE "C" AND s.put_off_at <= moment - interval '24 hours'
            AND s.lease_until IS NULL AND s.run_at < 'infinity'
          ORDER BY s.put_off_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS b
        UNION ALL
        SELECT * FROM (
          SELECT 2, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM send_jobs s
          WHERE s.mailbox = r.google_sub COLLATE "C" AND s.class IN (0, 2) AND s.lease_until IS NULL
            AND s.run_at <= moment
          ORDER BY s.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS c
        UNION ALL
        SELECT * FROM (
          SELECT 3, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM send_jobs s
          WHERE s.mailbox = r.google_sub COLLATE "C" AND s.lease_until IS NULL AND s.run_at <= moment
          ORDER BY s.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS d
      ) AS any_of ORDER BY rank LIMIT 1
    ) AS j
  ), fitting AS MATERIALIZED (
    -- A tenant's first come in the first round, its seconds in the second; a round goes on where the last one ended.
    SELECT h.*, row_number() OVER (PARTITION BY h.tenant_id, h.is_bulk ORDER BY h.due_at, h.id) AS turn,
        h.tenant_id <= CASE WHEN h.is_bulk THEN bulk_after ELSE urgent_after END AS was_before
      FROM head h WHERE h.lapsed OR h.recipients <= h.room
  ), queued AS (
    SELECT f.*, row_number() OVER (PARTITION BY f.is_bulk ORDER BY f.turn, f.was_before, f.tenant_id)
        AS number
      FROM fitting f
  ), placed AS (
    SELECT q.*, row_number() OVER (
        ORDER BY CASE WHEN q.is_bulk THEN q.number * 8 ELSE q.number + since_bulk END, q.is_bulk) AS place
      FROM queued q
  )
  SELECT array_agg(ROW(a.google_sub, a.tenant_id, a.user_id, a.id, a.recipients, a.room, a.lapsed, a.is_bulk, a.turn,
      a.place)::emailmcp.queue_head)
    INTO heads
    FROM (
      SELECT google_sub, tenant_id, user_id, id, recipients, room, lapsed, is_bulk, turn, place FROM placed
      UNION ALL
      SELECT google_sub, tenant_id, user_id, id, recipients, room, lapsed, is_bulk, NULL, NULL FROM head
        WHERE NOT lapsed AND recipients > room) AS a;
  RETURN QUERY
  WITH chosen AS MATERIALIZED (
    SELECT * FROM unnest(heads) AS h WHERE h.place <= p_limit
  ), busy AS (
    UPDATE mailboxes m
      SET in_flight_job = c.id, in_flight_until = moment + p_lease, wake_at = moment + p_lease, urgent_at = NULL,
          paused_reason = NULL, waiting = true,
          (credit, next_free_at, pace_until) = (
            SELECT t.credit, t.next_free_at, t.pace_until FROM emailmcp.paced_turn(
              m.pace_until, m.credit, m.share, m.share_at, moment, p_interval, p_burst) AS t),
          usage_hour = this_hour, usage_now = m.usage_now + CASE WHEN c.lapsed THEN 0 ELSE c.recipients END
      FROM chosen c WHERE m.google_sub = c.google_sub
  )
  UPDATE send_jobs s
    SET epoch = s.epoch + 1, lease_owner = p_worker, lease_until = moment + p_lease, put_off_at = NULL,
        attempts = s.attempts + s.intent::integer, ambiguous_tries = s.ambiguous_tries + s.intent::integer
    FROM chosen c WHERE s.tenant_id = c.tenant_id AND s.user_id = c.user_id AND s.id = c.id
  RETURNING s.tenant_id, s.user_id, s.id, s.created_at, s.mailbox, s.class, s.run_at, s.attempts, s.on_ambiguous,
    s.recipients, s.epoch, s.lease_until, s.intent, s.intent_at, s.cancel_requested, octet_length(s.payload),
    CASE WHEN octet_length(s.payload) <= p_inline_bytes THEN s.payload END,
    CASE WHEN s.run_at > moment - interval '1 hour' THEN s.failing_since END, s.ambiguous_tries, s.parked;
  IF EXISTS (SELECT FROM unnest(heads) AS h WHERE h.place IS NULL) THEN
    PERFORM emailmcp.put_off(heads, moment);
  END IF;
  -- Those with nothing due, and those whose first mail was put off: their next one may be due now.
  SELECT coalesce(array_agg(i.google_sub), '{}') INTO idle FROM (
    SELECT r.google_sub FROM unnest(ready) AS r (google_sub)
    EXCEPT
    SELECT h.google_sub FROM unnest(heads) AS h WHERE h.place IS NOT NULL OR h.room <= 0) AS i;
  IF idle <> '{}' THEN
    UPDATE mailboxes m
      SET (wake_at, urgent_at, wake_tenant, waiting) = (
        SELECT t.wake, t.urgent, t.tenant, t.wake IS NOT NULL FROM emailmcp.next_turn(m.google_sub, m.next_free_at) AS t)
      WHERE m.google_sub = ANY (idle);
  END IF;
  SELECT least(8, CASE WHEN count(*) FILTER (WHERE h.is_bulk) > 0
      THEN count(*) FILTER (WHERE NOT h.is_bulk AND h.place > (
        SELECT max(b.place) FROM unnest(heads) AS b WHERE b.is_bulk AND b.place <= p_limit))
      ELSE since_bulk + count(*) END)
    INTO since_bulk FROM unnest(heads) AS h WHERE h.place <= p_limit;
  PERFORM set_config('emailmcp.since_bulk', since_bulk::text, false),
    set_config('emailmcp.turn', emailmcp.turns_after(heads, true, p_limit, bulk_after, bulk_until), false),
    set_config('emailmcp.urgent_turn', emailmcp.turns_after(heads, false, p_limit, urgent_after, urgent_until), false),
    set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Leases mail under `hold` whose worker died after the intent: all that is left is to say that its fate is unknown. That
-- takes no request, so it waits for no pace: mail of a mailbox that sleeps, or of a project that pauses, was `sending` for
-- as long as that lasted.
DROP FUNCTION emailmcp.claim_lost(text, integer, interval);
CREATE FUNCTION emailmcp.claim_lost(p_worker text, p_limit integer, p_lease interval)
RETURNS TABLE (
  tenant_id text, user_id text, id uuid, mailbox text, attempts integer, on_ambiguous text, epoch bigint,
  intent boolean, failing_since timestamptz, ambiguous_tries integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  RETURN QUERY
  WITH lost AS MATERIALIZED (
    SELECT s.tenant_id, s.user_id, s.id FROM send_jobs s
    WHERE s.lease_until <= moment AND s.intent AND s.on_ambiguous = 'hold'
    ORDER BY s.lease_until LIMIT p_limit FOR UPDATE SKIP LOCKED
  )
  UPDATE send_jobs s
    SET epoch = s.epoch + 1, lease_owner = p_worker, lease_until = moment + p_lease, attempts = s.attempts + 1,
        ambiguous_tries = s.ambiguous_tries + 1
    FROM lost l WHERE s.tenant_id = l.tenant_id AND s.user_id = l.user_id AND s.id = l.id
  RETURNING s.tenant_id, s.user_id, s.id, s.mailbox, s.attempts, s.on_ambiguous, s.epoch, s.intent, s.failing_since,
    s.ambiguous_tries;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Gives a mail back to the queue for `p_run_at`; false when the lease is no longer the caller's.
-- `p_mailbox_free_at`: when it is not null, nothing of this mailbox goes before. `p_was_sent`: it may have reached Gmail,
-- so its recipients count against the mailbox's day, and the try against those that it may have; asked again, because the
-- answer was lost, it counts none twice.
-- A mail that waits for its account to be connected again makes the rest of that user's due mail wait for it: one mail looks
-- now and then whether the account is back, the others cost nothing until then (unpark_jobs). It goes on
-- doing so until it has had a token.
CREATE OR REPLACE FUNCTION emailmcp.requeue_job(
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
        attempts = p_attempts, ambiguous_tries = ambiguous_tries + (intent AND p_was_sent)::integer,
        failing_since = p_failing_since, payload = coalesce(p_payload, payload),
        parked = CASE WHEN p_parked IS NULL AND NOT intent AND parked = 'reauth_required' THEN parked ELSE p_parked END
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
        timeline = emailmcp.timeline_after(timeline, p_timeline)
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  UPDATE mailboxes SET waiting = true WHERE google_sub = p_google_sub COLLATE "C" AND in_flight_job = p_id;
  PERFORM emailmcp.release_mailboxes(
    ARRAY[p_google_sub], ARRAY[p_id], ARRAY[coalesce(p_mailbox_free_at, '-infinity')], ARRAY[p_parked],
    ARRAY[CASE WHEN p_was_sent THEN 0 ELSE counted END]);
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION emailmcp.cancel_message(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_timeline jsonb)
RETURNS text
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  found_status text;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  DELETE FROM send_jobs
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND NOT intent
      AND (lease_until IS NULL OR lease_until < clock_timestamp()) AND ambiguous_tries = 0;
  IF FOUND THEN
    UPDATE email_logs
      SET status = 'cancelled', error_code = NULL, error_message = NULL, cancelled_at = clock_timestamp(),
          timeline = timeline || p_timeline
      WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
        AND id = p_id;
    RETURN 'cancelled';
  END IF;
  SELECT status INTO found_status FROM email_logs
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  RETURN CASE WHEN found_status IS NULL THEN 'not_found' WHEN found_status = 'cancelled' THEN 'cancelled'
    ELSE 'too_late' END;
END $$;

-- Puts off what the day has no room for, of mailboxes that the caller has locked. Of a mailbox with room only that mail
-- waits, and with it those of the next 64 that are too large likewise, so that what fits need not wait for a look at each
-- of them.
CREATE OR REPLACE FUNCTION emailmcp.put_off(p_heads emailmcp.queue_head[], p_moment timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  this_hour timestamptz := date_bin('1 hour', p_moment, 'epoch');
BEGIN
  WITH narrow AS MATERIALIZED (
    SELECT * FROM unnest(p_heads) AS h WHERE h.place IS NULL AND h.room > 0
  ), large AS MATERIALIZED (
    SELECT n.tenant_id, n.user_id, n.id, n.google_sub, n.recipients - n.room AS missing FROM narrow n
    UNION
    SELECT q.tenant_id, q.user_id, q.id, n.google_sub, q.recipients - n.room FROM narrow n CROSS JOIN LATERAL (
      SELECT s.tenant_id, s.user_id, s.id, s.recipients FROM send_jobs s
      WHERE s.mailbox = n.google_sub AND s.lease_until IS NULL AND s.run_at <= p_moment
      ORDER BY s.run_at LIMIT 64 FOR UPDATE SKIP LOCKED) AS q
    WHERE q.recipients > n.room
  )
  UPDATE send_jobs s
    SET run_at = emailmcp.day_frees_at(l.google_sub, this_hour, l.missing),
        put_off_at = coalesce(s.put_off_at, p_moment),
        -- The one that looks whether the account is back stays the one that looks.
        parked = CASE WHEN s.parked = 'reauth_required' THEN s.parked ELSE 'daily_limit' END
    FROM large l WHERE s.tenant_id = l.tenant_id AND s.user_id = l.user_id AND s.id = l.id;
  UPDATE mailboxes m
    SET (next_free_at, wake_at, urgent_at, wake_tenant) = (
          SELECT f, t.wake, t.urgent, t.tenant FROM emailmcp.day_frees_at(h.google_sub, this_hour, 1 - h.room) AS f
          CROSS JOIN LATERAL emailmcp.next_turn(m.google_sub, f) AS t),
        paused_reason = 'daily_limit', waiting = true
    FROM unnest(p_heads) AS h WHERE m.google_sub = h.google_sub AND h.place IS NULL AND h.room <= 0;
END $$;

-- Records that the first bytes of these mails are about to leave; answers with those whose lease is still the caller's.
-- It locks jobs alone. It also freed other mail of users whose account was back, one after another, and so held one mailbox
-- while it waited for the next: it and a batch of those mailboxes could wait for each other. Who has a token frees them now
-- (unpark_jobs), in a transaction of its own.
-- Asked again under the same lease, because the answer was lost, it answers the same and tells the log nothing new.
CREATE OR REPLACE FUNCTION emailmcp.record_intents(
  p_tenant_id text, p_timeline jsonb, p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_epochs bigint[])
RETURNS uuid[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  mine uuid[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  WITH meant AS (
    UPDATE send_jobs s SET intent = true, intent_at = moment
      FROM (SELECT p_tenant_id AS tenant_id, * FROM unnest(p_user_ids, p_ids, p_created_ats, p_epochs)
        AS u (user_id, id, created_at, epoch) ORDER BY user_id COLLATE "C", id OFFSET 0) AS m
      WHERE s.tenant_id = m.tenant_id COLLATE "C" AND s.user_id = m.user_id COLLATE "C" AND s.id = m.id
        AND s.epoch = m.epoch AND s.lease_until > moment
      RETURNING s.tenant_id, s.user_id, s.id, m.created_at
  ), logged AS (
    UPDATE email_logs l
      SET status = 'sending', error_code = NULL, error_message = NULL, timeline = l.timeline || p_timeline
      FROM meant m
      WHERE l.tenant_id = m.tenant_id AND l.user_id = m.user_id AND l.created_at = m.created_at
        AND l.id = m.id AND l.status <> 'sending'
  )
  SELECT coalesce(array_agg(id), '{}') INTO mine FROM meant;
  RETURN mine;
END $$;

-- Wakes the mailboxes whose worker has let a lease lapse, before all bulk mail; answers how many. A worker runs this once
-- a second, and leaves to the next time what another transaction holds, and to claim_lost what that takes.
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
    SELECT mailbox, min(tenant_id) AS tenant_id FROM send_jobs
      WHERE lease_until <= moment AND NOT (intent AND on_ambiguous = 'hold') GROUP BY mailbox LIMIT 10000
  ), free AS MATERIALIZED (
    SELECT m.google_sub, l.tenant_id FROM mailboxes m JOIN lapsed l ON l.mailbox = m.google_sub
    WHERE m.in_flight_until <= moment AND (m.urgent_at IS NULL OR m.urgent_at > moment)
    FOR NO KEY UPDATE OF m SKIP LOCKED
  )
  UPDATE mailboxes m SET wake_at = least(m.wake_at, moment), urgent_at = moment, wake_tenant = free.tenant_id, waiting = true
    FROM free WHERE m.google_sub = free.google_sub;
  GET DIAGNOSTICS woken = ROW_COUNT;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN woken;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
