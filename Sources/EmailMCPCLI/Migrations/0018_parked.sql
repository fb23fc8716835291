-- Of a user's mails that wait for a consent, one looks now and then whether it is there, and frees the others when it is.
-- They waited for ever where that one was cancelled, failed, or met an oauth service that was away, and nobody told of the
-- consent. Now the one that looks stays the one that looks, and upkeep names another where there is none.

CREATE INDEX send_jobs_parked ON send_jobs (tenant_id, user_id, run_at) WHERE parked = 'reauth_required';
CREATE POLICY queue_read ON user_email_accounts FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'queue');

-- Gives a mail back to the queue for `p_run_at`; false when the lease is no longer the caller's.
-- `p_mailbox_free_at`: when it is not null, nothing of this mailbox goes before. `p_was_sent`: it may have reached Gmail,
-- so its recipients count against the mailbox's day.
-- A mail that waits for its account to be connected again makes the rest of that user's due mail wait for it: one mail looks
-- now and then whether the account is back, the others cost nothing until then (record_intents, unpark_jobs). It goes on
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
        attempts = p_attempts, failing_since = p_failing_since, payload = coalesce(p_payload, payload),
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
        timeline = timeline || p_timeline
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  UPDATE mailboxes SET waiting = true WHERE google_sub = p_google_sub COLLATE "C" AND in_flight_job = p_id;
  PERFORM emailmcp.release_mailboxes(
    ARRAY[p_google_sub], ARRAY[p_id], ARRAY[coalesce(p_mailbox_free_at, '-infinity')], ARRAY[p_parked],
    ARRAY[CASE WHEN p_was_sent THEN 0 ELSE counted END]);
  RETURN true;
END $$;

-- Users whose mail waits for a consent: those whose account is connected (`p_connected`), or those of whose mails none
-- looks.
CREATE FUNCTION emailmcp.parked_users(p_connected boolean, p_limit integer)
RETURNS TABLE (tenant_id text, user_id text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  RETURN QUERY
  SELECT u.tenant_id, u.user_id FROM (
    SELECT s.tenant_id, s.user_id, min(s.run_at) AS looks_at FROM send_jobs s WHERE s.parked = 'reauth_required'
    GROUP BY s.tenant_id, s.user_id) AS u
  WHERE CASE WHEN p_connected THEN EXISTS (
      SELECT FROM user_email_accounts a
      WHERE a.tenant_id = u.tenant_id AND a.user_id = u.user_id AND a.provider = 'gmail_api' AND a.status = 'active')
    ELSE u.looks_at = 'infinity' END
  LIMIT p_limit;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Has one of a user's mails look now whether the account is back; false when none waits for it.
CREATE FUNCTION emailmcp.look_again(p_tenant_id text, p_user_id text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  box text;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  -- Materialized: looked for again for each row of a join, the first would be another one each time.
  WITH first AS MATERIALIZED (
    SELECT j.id FROM send_jobs j
    WHERE j.tenant_id = p_tenant_id COLLATE "C" AND j.user_id = p_user_id COLLATE "C" AND j.parked = 'reauth_required'
      AND j.lease_until IS NULL
    ORDER BY j.run_at, j.id LIMIT 1 FOR UPDATE SKIP LOCKED
  )
  UPDATE send_jobs s SET run_at = clock_timestamp() FROM first
    WHERE s.tenant_id = p_tenant_id COLLATE "C" AND s.user_id = p_user_id COLLATE "C" AND s.id = first.id
    RETURNING s.mailbox INTO box;
  IF box IS NULL THEN
    RETURN false;
  END IF;
  PERFORM emailmcp.wake_mailboxes(ARRAY[box], ARRAY[clock_timestamp()]);
  RETURN true;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
