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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
