-- When a queue will be empty was told by the account's backlog and the user's own outcomes, so that of two users of one
-- account each was told twice the time.

CREATE POLICY queue_read ON email_stats_15m FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'queue');

-- Outcomes of a Google account's mail in the buckets from `p_since` on, whoever's user it is: a count alone.
CREATE FUNCTION emailmcp.mailbox_finished(p_google_sub text, p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  result bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  result := (SELECT coalesce(sum(t.success + t.failed + t.unknown), 0) FROM user_email_accounts a
    JOIN email_stats_15m t ON t.tenant_id = a.tenant_id AND t.user_id = a.user_id
    WHERE a.google_sub = p_google_sub COLLATE "C" AND t.bucket >= p_since);
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN result;
END $$;

-- One row for a user who has, or had, an account. Times are seconds from now; `wait` until the next request of the
-- mailbox may start, `debt` until its starts so far are paid for. `finished` of the account's mails had an outcome in the last
-- `over` seconds.
CREATE OR REPLACE FUNCTION emailmcp.user_capacity(
  p_tenant_id text, p_user_id text, p_interval double precision, p_burst integer, p_day_limit integer, p_most integer)
RETURNS TABLE (
  status text, wait double precision, debt double precision, credit integer, paused_reason text, day_limit integer,
  day_used integer, day_frees double precision, waiting bigint, scheduled bigint, parked bigint, backlog bigint,
  backlog_recipients bigint, oldest_age double precision, finished bigint, over double precision)
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
#variable_conflict use_column
DECLARE
  moment timestamptz := clock_timestamp();
  this_hour timestamptz := date_bin('1 hour', moment, 'epoch');
  since timestamptz := date_bin('15 minutes', moment, 'epoch') - interval '15 minutes';
  box text;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  SELECT a.status, a.google_sub INTO status, box FROM user_email_accounts a
    WHERE a.tenant_id = p_tenant_id COLLATE "C" AND a.user_id = p_user_id COLLATE "C" AND a.provider = 'gmail_api';
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT CASE WHEN m.next_free_at > moment THEN extract(epoch FROM m.next_free_at - moment) ELSE 0 END,
         CASE WHEN m.pace_until > moment THEN extract(epoch FROM m.pace_until - moment) ELSE 0 END,
         CASE WHEN m.pace_until > moment THEN m.credit
           ELSE emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst) END,
         m.paused_reason,
         CASE WHEN m.day_limit_until > moment THEN least(m.day_limit, p_day_limit) ELSE p_day_limit END,
         CASE WHEN m.usage_hour >= this_hour THEN m.usage_before + m.usage_now
           ELSE CASE WHEN m.usage_hour >= this_hour - interval '24 hours' THEN m.usage_now ELSE 0 END + coalesce((
             SELECT sum(u.recipients) FROM mailbox_usage u
             WHERE u.google_sub = m.google_sub AND u.hour >= this_hour - interval '24 hours'), 0) END
    INTO wait, debt, credit, paused_reason, day_limit, day_used
    FROM mailboxes m WHERE m.google_sub = box COLLATE "C";
  IF NOT FOUND THEN
    SELECT 0, 0, p_burst, NULL, p_day_limit, 0 INTO wait, debt, credit, paused_reason, day_limit, day_used;
  END IF;
  IF wait = 0 THEN
    paused_reason := NULL;
  END IF;
  IF day_used >= day_limit THEN
    day_frees := extract(epoch FROM emailmcp.day_frees_at(box, this_hour, 1 + day_used - day_limit) - moment);
  END IF;
  SELECT count(*) FILTER (WHERE s.parked IS DISTINCT FROM 'reauth_required'
             AND (s.run_at <= moment OR s.attempts > 0 OR s.parked IS NOT NULL)),
         count(*) FILTER (WHERE s.run_at > moment AND s.attempts = 0 AND s.parked IS NULL),
         count(*) FILTER (WHERE s.parked = 'reauth_required')
    INTO waiting, scheduled, parked
    FROM (SELECT j.run_at, j.parked, j.attempts FROM send_jobs j
      WHERE j.tenant_id = p_tenant_id COLLATE "C" AND j.user_id = p_user_id COLLATE "C" LIMIT p_most) AS s;
  SELECT b.mails, b.recipients, b.oldest_age INTO backlog, backlog_recipients, oldest_age
    FROM emailmcp.mailbox_backlog(box, p_most) AS b;
  over := extract(epoch FROM moment - since);
  finished := emailmcp.mailbox_finished(box, since);
  RETURN NEXT;
END $$;

-- A tenant's users had no turns among them: who had one mail waited for all older mail of all of them. A mailbox that has had
-- its turn stands behind those that wait now.

-- Gives mailboxes back after outcomes (or refusals), each with the earliest time of its next request, the reason when it
-- pauses for long, and how many recipients were not sent to after all. Gmail's refusals teach: its day's limit, its share
-- of the pace. One with more to send goes to the end of the line, behind all that have been due for longer. Leaves those that
-- another job holds by now. Call it after the jobs' own rows are done.
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
        SELECT t.wake, t.urgent, t.tenant, t.wake IS NOT NULL
        FROM emailmcp.next_turn(google_sub, greatest(next_free_at, moment)) AS t)
      WHERE google_sub = ANY (more);
  END IF;
END $$;

-- Repairs `wake_at`, `urgent_at` and `wake_tenant` from the queue itself. The functions above keep them right; a worker
-- runs this once a minute so that no mistake can strand a mail. A place in the line it leaves as it is, to claim_lost
-- what that takes, and for the next time what another transaction holds.
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
      WHERE (s.lease_until IS NULL OR s.lease_until < now() AND NOT (s.intent AND s.on_ambiguous = 'hold'))
        AND (b.google_sub IS NULL OR b.wake_at IS NULL OR b.wake_tenant IS NULL
          OR b.wake_at > greatest(s.run_at, b.next_free_at, b.in_flight_until, now())
          OR s.class IN (0, 2) AND (b.urgent_at IS NULL
            OR b.urgent_at > greatest(s.run_at, b.next_free_at, b.in_flight_until, now())))
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

-- To be told again set `attempts` back to 0, and with it the fence: a claim from before that ended late was taken for the new
-- one. What is counted from 0 is counted beside it now.

ALTER TABLE webhook_deliveries
  ADD COLUMN replayed_after integer NOT NULL DEFAULT 0;         -- attempts before it was last told again

DROP FUNCTION emailmcp.claim_webhooks(integer, integer, integer, interval, text[], text[], integer[]);
-- Claims due deliveries of all tenants, the first of each subject alone, so that one subject's events arrive in order. The
-- arrays say what the caller has under way, a place of each for an endpoint: of one endpoint at most `p_per_endpoint` are
-- under way, of one tenant at most `p_per_tenant`, and of those that are due the tenants with the least under way come
-- first, each with its oldest. A claim lasts `p_lease`. `tries` are the attempts since the event was last told again.
CREATE FUNCTION emailmcp.claim_webhooks(
  p_per_endpoint integer, p_per_tenant integer, p_limit integer, p_lease interval, p_tenants text[], p_endpoints text[],
  p_counts integer[])
RETURNS TABLE (
  tenant_id text, endpoint_id text, seq bigint, id text, type text, payload text, attempts integer,
  created_at timestamptz, url text, secret_sealed bytea, previous_sealed bytea, tries integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM set_config('emailmcp.scope', 'webhook', true);
  RETURN QUERY
  WITH busy AS MATERIALIZED (
    SELECT * FROM unnest(p_tenants, p_endpoints, p_counts) AS b (tenant_id, endpoint_id, count)
  ), chosen AS MATERIALIZED (
    SELECT * FROM (
      SELECT e.tenant_id, e.id AS endpoint_id, first.seq, first.next_at,
        coalesce((SELECT sum(b.count) FROM busy b WHERE b.tenant_id = e.tenant_id), 0)
          + row_number() OVER (PARTITION BY e.tenant_id ORDER BY first.next_at, first.seq) AS place
      FROM webhook_endpoints e CROSS JOIN LATERAL (
        SELECT d.seq, d.next_at FROM webhook_deliveries d
        WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.id AND d.state = 'pending'
          AND d.next_at <= clock_timestamp()
          AND NOT EXISTS (SELECT FROM webhook_deliveries b
            WHERE b.tenant_id = d.tenant_id AND b.endpoint_id = d.endpoint_id AND b.subject = d.subject
              AND b.state = 'pending' AND b.seq < d.seq)
        ORDER BY d.next_at, d.seq
        LIMIT greatest(0, p_per_endpoint - coalesce(
          (SELECT sum(b.count) FROM busy b WHERE b.tenant_id = e.tenant_id AND b.endpoint_id = e.id), 0))) AS first
      WHERE e.disabled_at IS NULL) AS placed
    WHERE placed.place <= p_per_tenant
    ORDER BY placed.place, placed.next_at LIMIT p_limit
  ), due AS MATERIALIZED (
    -- Another mailer may have been faster: its claim is skipped, under way or done.
    SELECT d.tenant_id, d.endpoint_id, d.seq FROM webhook_deliveries d JOIN chosen c
      ON d.tenant_id = c.tenant_id AND d.endpoint_id = c.endpoint_id AND d.seq = c.seq
    WHERE d.state = 'pending' AND d.next_at <= clock_timestamp()
    FOR UPDATE OF d SKIP LOCKED
  )
  UPDATE webhook_deliveries d
  SET attempts = d.attempts + 1, next_at = clock_timestamp() + p_lease
  FROM due JOIN webhook_endpoints e ON e.tenant_id = due.tenant_id AND e.id = due.endpoint_id
  WHERE d.tenant_id = due.tenant_id AND d.endpoint_id = due.endpoint_id AND d.seq = due.seq
  RETURNING d.tenant_id, d.endpoint_id, d.seq, d.id, d.type, d.payload, d.attempts, d.created_at, e.url,
    e.secret_sealed, CASE WHEN e.previous_until > now() THEN e.previous_sealed END, d.attempts - d.replayed_after;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
