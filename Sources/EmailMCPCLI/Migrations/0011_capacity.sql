-- What a user may still send, and how long the queue is: read for one user at a time, changing nothing.

-- The mail of a Google account that is due or was put off, whoever's user it is: counts alone. `oldest_age` in seconds.
CREATE FUNCTION emailmcp.mailbox_backlog(p_google_sub text, p_most integer)
RETURNS TABLE (mails bigint, recipients bigint, oldest_age double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  RETURN QUERY
  SELECT count(*), coalesce(sum(due.recipients), 0), extract(epoch FROM clock_timestamp() - min(due.created_at))::float8
  FROM (
    SELECT s.recipients, s.created_at FROM send_jobs s
    WHERE s.mailbox = p_google_sub COLLATE "C" AND s.run_at < 'infinity' AND s.parked IS DISTINCT FROM 'reauth_required'
      AND (s.run_at <= clock_timestamp() OR s.attempts > 0 OR s.parked IS NOT NULL)
    ORDER BY s.run_at LIMIT p_most) AS due;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- One row for a user who has, or had, an account. Times are seconds from now; `wait` until the next request of the
-- mailbox may start, `debt` until its starts so far are paid for. `finished` mails had an outcome in the last `over`
-- seconds.
CREATE FUNCTION emailmcp.user_capacity(
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
  SELECT coalesce(sum(t.success + t.failed + t.unknown), 0) INTO finished FROM email_stats_15m t
    WHERE t.tenant_id = p_tenant_id COLLATE "C" AND t.user_id = p_user_id COLLATE "C" AND t.bucket >= since;
  RETURN NEXT;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
