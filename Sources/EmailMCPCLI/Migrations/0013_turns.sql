-- Whose turn it is: interactive mail before bulk, tenants in turn, and a pace that follows Gmail's refusals. What a claim
-- costs depends on what it claims, however much is queued behind.
--
-- `send_jobs.class`: even is interactive, odd is bulk; above zero nobody waits for the outcome (0, 2 interactive; -1, 1
-- bulk). Of one mailbox's mail the interactive goes first, at once where nobody else is at it; of all mailboxes, those with
-- interactive mail come first and leave every ninth place to the others.

ALTER TABLE mailboxes
  ADD COLUMN urgent_at timestamptz,                           -- like wake_at, for interactive mail and lapsed leases alone
  ADD COLUMN wake_tenant text COLLATE "C",                    -- whose mail it is that is due at wake_at
  -- The part of its pace that Gmail last let it have, and when: see emailmcp.pace_share.
  ADD COLUMN share double precision NOT NULL DEFAULT 1,
  ADD COLUMN share_at timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX mailboxes_urgent ON mailboxes (urgent_at) WHERE urgent_at IS NOT NULL;
CREATE INDEX mailboxes_tenant ON mailboxes (wake_tenant, wake_at) WHERE wake_at IS NOT NULL;
-- Mail that goes at once is leased when it is stored, and never enters this one.
CREATE INDEX send_jobs_urgent ON send_jobs (mailbox, run_at) WHERE class IN (0, 2) AND lease_until IS NULL;

-- The share of its pace that a mailbox (or the project) may use: cut by Gmail's refusals, and back to the whole within ten
-- minutes at most. The same arithmetic is `PaceShare` in the mailer.
CREATE FUNCTION emailmcp.pace_share(p_share double precision, p_at timestamptz, p_moment timestamptz)
RETURNS double precision
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN p_share >= 1 OR p_at < p_moment - interval '10 minutes' THEN 1
    ELSE least(1, p_share + greatest(0, date_part('epoch', p_moment) - date_part('epoch', p_at)) / 600) END
$$;

-- What a refusal makes of it; those within ten seconds are one.
CREATE FUNCTION emailmcp.cut_share(p_share double precision, p_at timestamptz, p_moment timestamptz)
RETURNS double precision
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN p_at > p_moment - interval '10 seconds' THEN p_share
    ELSE greatest(1 / 64::double precision, emailmcp.pace_share(p_share, p_at, p_moment) * 0.7) END
$$;

-- When a mailbox next has something to do, and for which tenant, by what its queue holds now. Scope queue: its jobs may be
-- two tenants'.
CREATE FUNCTION emailmcp.next_turn(
  p_google_sub text, p_not_before timestamptz, OUT wake timestamptz, OUT urgent timestamptz, OUT tenant text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  SELECT greatest(s.run_at, p_not_before), s.tenant_id INTO wake, tenant FROM send_jobs s
    WHERE s.mailbox = p_google_sub COLLATE "C" ORDER BY s.run_at LIMIT 1;
  SELECT greatest(s.run_at, p_not_before) INTO urgent FROM send_jobs s
    WHERE s.mailbox = p_google_sub COLLATE "C" AND s.class IN (0, 2) AND s.lease_until IS NULL
    ORDER BY s.run_at LIMIT 1;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Says that jobs of these mailboxes are due at these times. They are stored already.
CREATE OR REPLACE FUNCTION emailmcp.wake_mailboxes(p_google_subs text[], p_at timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  tenant text := current_setting('emailmcp.tenant_id', true);
BEGIN
  INSERT INTO mailboxes AS m (google_sub, wake_at, urgent_at, wake_tenant, waiting)
  SELECT w.google_sub, min(w.at), (
      SELECT s.run_at FROM send_jobs s
      WHERE s.mailbox = w.google_sub COLLATE "C" AND s.class IN (0, 2) AND s.lease_until IS NULL
      ORDER BY s.run_at LIMIT 1), tenant, true
    FROM unnest(p_google_subs, p_at) AS w (google_sub, at)
    GROUP BY w.google_sub COLLATE "C", w.google_sub ORDER BY w.google_sub COLLATE "C"
  ON CONFLICT (google_sub) DO UPDATE
    SET wake_at = least(m.wake_at, greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)),
        urgent_at = CASE WHEN excluded.urgent_at IS NULL THEN m.urgent_at
          ELSE least(m.urgent_at, greatest(excluded.urgent_at, m.next_free_at, m.in_flight_until)) END,
        wake_tenant = CASE
          WHEN m.wake_at <= greatest(excluded.wake_at, m.next_free_at, m.in_flight_until) THEN m.wake_tenant
          ELSE excluded.wake_tenant END,
        waiting = true
    WHERE NOT m.waiting OR m.wake_at IS NULL
      OR m.wake_at > greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)
      OR excluded.urgent_at IS NOT NULL AND (m.urgent_at IS NULL
        OR m.urgent_at > greatest(excluded.urgent_at, m.next_free_at, m.in_flight_until));
END $$;

-- Takes mailboxes for interactive jobs that want to go at once, the first of each mailbox; answers with the jobs that may.
-- Those whose mailbox is busy, paced, out of its day's quota, or has older interactive mail waiting, may not. Bulk mail
-- that waits is no hindrance.
-- It leaves `wake_at` alone, and so does a release with an empty queue: with no indexed column changed, both are HOT
-- updates. A mail whose worker dies is found by its lease (wake_lapsed).
-- `p_interval`: seconds between two requests at full load; `p_burst`: how many may come early after a rest.
CREATE OR REPLACE FUNCTION emailmcp.acquire_mailboxes(
  p_google_subs text[], p_jobs uuid[], p_recipients integer[], p_lease interval, p_interval double precision,
  p_burst integer, p_day_limit integer)
RETURNS uuid[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  this_hour timestamptz := date_bin('1 hour', moment, 'epoch');
  pace interval := p_interval * interval '1 second';
  taken uuid[];
BEGIN
  PERFORM emailmcp.roll_usage(p_google_subs, this_hour);
  WITH acquired AS (
    INSERT INTO mailboxes AS m (
      google_sub, next_free_at, pace_until, credit, in_flight_job, in_flight_until, usage_hour, usage_now)
    SELECT * FROM (
      SELECT DISTINCT ON (w.google_sub COLLATE "C") w.google_sub,
        CASE WHEN p_burst > 0 THEN '-infinity' ELSE moment + pace END, moment + pace, p_burst, w.job, moment + p_lease,
        this_hour, w.recipients
      FROM unnest(p_google_subs, p_jobs, p_recipients) WITH ORDINALITY AS w (google_sub, job, recipients, ord)
      ORDER BY w.google_sub COLLATE "C", w.ord) AS first
    ON CONFLICT (google_sub) DO UPDATE
      SET (credit, next_free_at, pace_until) = (
            SELECT t.credit, t.next_free_at, t.pace_until FROM emailmcp.paced_turn(
              m.pace_until, m.credit, m.share, m.share_at, moment, p_interval, p_burst) AS t),
          in_flight_job = excluded.in_flight_job, in_flight_until = excluded.in_flight_until, paused_reason = NULL,
          usage_hour = excluded.usage_hour, usage_now = m.usage_now + excluded.usage_now
      WHERE m.next_free_at <= moment AND m.in_flight_until <= moment AND (m.urgent_at IS NULL OR m.urgent_at > moment)
        AND excluded.usage_now <= emailmcp.day_room(
          m.usage_before + m.usage_now, p_day_limit, m.day_limit, m.day_limit_until, moment)
    RETURNING m.in_flight_job
  )
  SELECT coalesce(array_agg(in_flight_job), '{}') INTO taken FROM acquired;
  RETURN taken;
END $$;

-- A mailbox's pace after a request at `p_moment`: with a cut share the intervals are longer, and nothing comes early.
CREATE FUNCTION emailmcp.paced_turn(
  p_pace_until timestamptz, p_credit integer, p_share double precision, p_share_at timestamptz, p_moment timestamptz,
  p_interval double precision, p_burst integer)
RETURNS TABLE (credit integer, next_free_at timestamptz, pace_until timestamptz)
LANGUAGE sql IMMUTABLE ROWS 1
AS $$
  SELECT c.credit, CASE WHEN c.credit > 0 THEN '-infinity' ELSE greatest(p_pace_until, p_moment) + c.pace END,
         greatest(p_pace_until, p_moment) + c.pace
  FROM (
    SELECT CASE WHEN s.share < 1 THEN 0
             ELSE emailmcp.paced_credit(p_pace_until, p_credit, p_moment, p_interval, p_burst) END AS credit,
           p_interval / s.share * interval '1 second' AS pace
    FROM (SELECT CASE WHEN p_share >= 1 THEN 1 ELSE emailmcp.pace_share(p_share, p_share_at, p_moment) END AS share) AS s
  ) AS c
$$;

-- Gives mailboxes back after outcomes (or refusals), each with the earliest time of its next request, the reason when it
-- pauses for long, and how many recipients were not sent to after all. Gmail's refusals teach: its day's limit, its share
-- of the pace. Leaves those that another job holds by now. Call it after the jobs' own rows are done.
CREATE OR REPLACE FUNCTION emailmcp.release_mailboxes(
  p_google_subs text[], p_jobs uuid[], p_free_at timestamptz[], p_reasons text[], p_refunds integer[])
RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  more text[];
BEGIN
  PERFORM FROM mailboxes m WHERE m.google_sub = ANY (p_google_subs) ORDER BY m.google_sub FOR NO KEY UPDATE;
  WITH released AS (
    UPDATE mailboxes m
      SET in_flight_job = NULL, in_flight_until = '-infinity', paused_reason = r.reason,
          next_free_at = greatest(m.next_free_at, r.free_at), pace_until = greatest(m.pace_until, r.free_at),
          credit = CASE WHEN r.free_at > moment THEN 0 ELSE m.credit END,
          usage_now = greatest(0, m.usage_now - r.refund),
          day_limit = CASE WHEN r.reason = 'daily_limit'
            THEN greatest(1, m.usage_before + m.usage_now - r.refund) ELSE m.day_limit END,
          day_limit_until = CASE WHEN r.reason = 'daily_limit'
            THEN moment + interval '24 hours' ELSE m.day_limit_until END,
          share = CASE WHEN r.reason = 'rate_limited' THEN emailmcp.cut_share(m.share, m.share_at, moment)
            ELSE m.share END,
          share_at = CASE WHEN r.reason = 'rate_limited' AND m.share_at <= moment - interval '10 seconds' THEN moment
            ELSE m.share_at END
      FROM unnest(p_google_subs, p_jobs, p_free_at, p_reasons, p_refunds) AS r (google_sub, job, free_at, reason, refund)
      WHERE m.google_sub = r.google_sub COLLATE "C" AND m.in_flight_job = r.job
      RETURNING m.google_sub, m.waiting
  )
  SELECT array_agg(google_sub) INTO more FROM released WHERE waiting;
  -- The rows are locked by now; the queue is looked at by the next statement, whose snapshot holds every job whose
  -- accept came before.
  IF more IS NOT NULL THEN
    UPDATE mailboxes
      SET (wake_at, urgent_at, wake_tenant, waiting) = (
        SELECT t.wake, t.urgent, t.tenant, t.wake IS NOT NULL FROM emailmcp.next_turn(google_sub, next_free_at) AS t)
      WHERE google_sub = ANY (more);
  END IF;
END $$;

-- Gives a mail back to the queue for `p_run_at`; false when the lease is no longer the caller's.
-- `p_mailbox_free_at`: when it is not null, nothing of this mailbox goes before. `p_was_sent`: it may have reached Gmail,
-- so its recipients count against the mailbox's day.
-- A mail that waits for its account to be connected again makes the rest of that user's due mail wait for it: one mail looks
-- now and then whether the account is back, the others cost nothing until then (record_intents, unpark_jobs).
CREATE OR REPLACE FUNCTION emailmcp.requeue_job(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_epoch bigint, p_google_sub text,
  p_run_at timestamptz, p_attempts integer, p_parked text, p_error_code text, p_error_message text, p_payload bytea,
  p_mailbox_free_at timestamptz, p_was_sent boolean, p_timeline jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  counted integer;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE send_jobs
    SET lease_owner = NULL, lease_until = NULL, intent = false, intent_at = NULL, run_at = p_run_at,
        attempts = p_attempts, parked = p_parked, payload = coalesce(p_payload, payload)
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND epoch = p_epoch
    RETURNING recipients INTO counted;
  IF counted IS NULL THEN
    RETURN false;
  END IF;
  IF p_parked = 'reauth_required' THEN
    UPDATE send_jobs SET run_at = 'infinity', parked = p_parked
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

-- Records that the first bytes of these mails are about to leave; answers with those whose lease is still the caller's.
-- One that was waiting for its account has got a token: the user's other mail need not wait either.
CREATE OR REPLACE FUNCTION emailmcp.record_intents(
  p_tenant_id text, p_timeline jsonb, p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_epochs bigint[])
RETURNS uuid[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  mine uuid[];
  back text[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  WITH meant AS (
    UPDATE send_jobs s SET intent = true, intent_at = moment
      FROM (SELECT p_tenant_id AS tenant_id, * FROM unnest(p_user_ids, p_ids, p_created_ats, p_epochs)
        AS u (user_id, id, created_at, epoch) OFFSET 0) AS m
      WHERE s.tenant_id = m.tenant_id COLLATE "C" AND s.user_id = m.user_id COLLATE "C" AND s.id = m.id
        AND s.epoch = m.epoch AND s.lease_until > moment
      RETURNING s.tenant_id, s.user_id, s.id, m.created_at, s.parked
  ), logged AS (
    UPDATE email_logs l
      SET status = 'sending', error_code = NULL, error_message = NULL, timeline = l.timeline || p_timeline
      FROM meant m
      WHERE l.tenant_id = m.tenant_id AND l.user_id = m.user_id AND l.created_at = m.created_at
        AND l.id = m.id
  )
  SELECT coalesce(array_agg(id), '{}'), array_agg(DISTINCT user_id) FILTER (WHERE parked = 'reauth_required')
    INTO mine, back FROM meant;
  IF back IS NOT NULL THEN
    PERFORM emailmcp.unpark_jobs(p_tenant_id, u) FROM unnest(back) AS u;
  END IF;
  RETURN mine;
END $$;

-- Has the transaction's statements planned once a connection with every row found by an index, whatever the statistics
-- say: a queue grows from nothing to a million faster than they are gathered.
CREATE FUNCTION emailmcp.plan_by_index() RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_material', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('jit', 'off', true);
END $$;

-- The mailboxes that a claim looks at, locked: up to four times as many as it wants of those with interactive mail; then
-- the longest due; and where there are more of those than it wants, the next 64 tenants' longest due, by turns (the session
-- remembers where the last turn ended).
CREATE FUNCTION emailmcp.due_mailboxes(p_limit integer, p_moment timestamptz) RETURNS text[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  ready text[];
  others text[];
  turn text;
  seen bigint;
BEGIN
  SELECT coalesce(array_agg(u.google_sub), '{}') INTO ready FROM (
    SELECT m.google_sub FROM mailboxes m
    WHERE m.urgent_at <= p_moment AND m.next_free_at <= p_moment AND m.in_flight_until <= p_moment
    ORDER BY m.urgent_at LIMIT p_limit * 4 FOR UPDATE SKIP LOCKED) AS u;
  SELECT coalesce(array_agg(w.google_sub), '{}') INTO others FROM (
    SELECT m.google_sub FROM mailboxes m
    WHERE m.wake_at <= p_moment AND m.next_free_at <= p_moment AND m.in_flight_until <= p_moment
      AND NOT m.google_sub = ANY (ready)
    ORDER BY m.wake_at LIMIT p_limit FOR UPDATE SKIP LOCKED) AS w;
  ready := ready || others;
  IF cardinality(others) < p_limit THEN
    RETURN ready;
  END IF;
  turn := coalesce(current_setting('emailmcp.turn', true), '');
  WITH RECURSIVE tenants AS (
    (SELECT m.wake_tenant AS tenant, 1 AS place FROM mailboxes m
     WHERE m.wake_at IS NOT NULL AND m.wake_tenant > turn ORDER BY m.wake_tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT m.wake_tenant FROM mailboxes m
      WHERE m.wake_at IS NOT NULL AND m.wake_tenant > t.tenant ORDER BY m.wake_tenant LIMIT 1), t.place + 1
    FROM tenants t WHERE t.tenant IS NOT NULL AND t.place < 64
  ), due AS (
    SELECT b.google_sub FROM tenants t CROSS JOIN LATERAL (
      SELECT m.google_sub FROM mailboxes m
      WHERE m.wake_tenant = t.tenant AND m.wake_at <= p_moment AND m.next_free_at <= p_moment
        AND m.in_flight_until <= p_moment AND NOT m.google_sub = ANY (ready)
      ORDER BY m.wake_at LIMIT 4 FOR UPDATE SKIP LOCKED) AS b
  )
  SELECT (SELECT coalesce(array_agg(google_sub), '{}') FROM due), max(tenant), count(tenant)
    INTO others, turn, seen FROM tenants;
  PERFORM set_config('emailmcp.turn', CASE WHEN seen = 64 THEN turn ELSE '' END, false);
  RETURN ready || others;
END $$;

-- Leases up to `p_limit` due jobs for `p_worker`, at most one a mailbox: interactive mail and lapsed leases first, with
-- every ninth place for the rest; tenants in turn; oldest first within one.
-- A job whose lease lapsed is claimed again with the next epoch; it comes with `intent` as the last worker left it:
-- true means that its outcome is unknown and that it must not simply be sent. Its recipients are counted already.
-- A mailbox whose day has no room for its next mail sleeps until it has.
-- A payload over `p_inline_bytes` comes as null: read it by itself.
CREATE OR REPLACE FUNCTION emailmcp.claim_jobs(
  p_worker text, p_limit integer, p_lease interval, p_interval double precision, p_burst integer, p_day_limit integer,
  p_inline_bytes integer DEFAULT 262144)
RETURNS TABLE (
  tenant_id text, user_id text, id uuid, created_at timestamptz, mailbox text, class smallint, run_at timestamptz,
  attempts integer, on_ambiguous text, recipients integer, epoch bigint, lease_until timestamptz, intent boolean,
  intent_at timestamptz, cancel_requested boolean, payload_bytes integer, payload bytea)
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
    CASE WHEN octet_length(s.payload) <= p_inline_bytes THEN s.payload END;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Wakes the mailboxes whose worker has let a lease lapse, before all bulk mail; answers how many. A worker runs this once
-- a second.
CREATE OR REPLACE FUNCTION emailmcp.wake_lapsed() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  woken bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  UPDATE mailboxes m SET wake_at = least(m.wake_at, moment), urgent_at = moment, waiting = true
    FROM (SELECT DISTINCT mailbox FROM send_jobs WHERE lease_until <= moment LIMIT 10000) AS lapsed
    WHERE m.google_sub = lapsed.mailbox AND m.in_flight_until <= moment
      AND (m.urgent_at IS NULL OR m.urgent_at > moment);
  GET DIAGNOSTICS woken = ROW_COUNT;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN woken;
END $$;

-- Repairs `wake_at`, `urgent_at` and `wake_tenant` from the queue itself. The functions above keep them right; a worker
-- runs this once a minute so that no mistake can strand a mail.
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
  INSERT INTO mailboxes AS m (google_sub, wake_at, urgent_at, wake_tenant, waiting)
  SELECT s.mailbox, min(s.run_at), min(s.run_at) FILTER (WHERE s.class IN (0, 2)),
      (array_agg(s.tenant_id ORDER BY s.run_at))[1], true
    FROM send_jobs s LEFT JOIN mailboxes b ON b.google_sub = s.mailbox
    WHERE (s.lease_until IS NULL OR s.lease_until < now())
      AND (b.google_sub IS NULL OR b.wake_at IS NULL OR b.wake_tenant IS NULL
        OR b.wake_at > greatest(s.run_at, b.next_free_at, b.in_flight_until)
        OR s.class IN (0, 2) AND (b.urgent_at IS NULL
          OR b.urgent_at > greatest(s.run_at, b.next_free_at, b.in_flight_until)))
    GROUP BY s.mailbox
  ON CONFLICT (google_sub) DO UPDATE
    SET wake_at = least(m.wake_at, greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)),
        urgent_at = CASE WHEN excluded.urgent_at IS NULL THEN m.urgent_at
          ELSE least(m.urgent_at, greatest(excluded.urgent_at, m.next_free_at, m.in_flight_until)) END,
        wake_tenant = coalesce(m.wake_tenant, excluded.wake_tenant), waiting = true;
  GET DIAGNOSTICS repaired = ROW_COUNT;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN repaired;
END $$;

DROP FUNCTION emailmcp.next_wake(text, timestamptz);
SELECT emailmcp.repair_wakes();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
