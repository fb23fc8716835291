-- What the mailer does to a mail, each step one function and so one transaction and one trip: accept, intent, outcome,
-- back to the queue, cancel. Each names its tenant first; row-level security then holds for all that follows.
--
-- `p_epoch` is the fence: a worker whose lease passed to another finds no row and changes nothing.
-- These run thousands of times a second: no SET clauses (they cost a GUC stack each), no work that a case does not need.

-- Accepts a mail. `status` of the answer:
--   sending     accepted, leased to `p_worker` with its intent recorded: send it now (epoch 1)
--   queued      accepted; it waits for its mailbox or its time
--   busy        nothing was kept: it cannot go at once, and `p_payload` was null. Call again with the payload.
--   no_account  nothing was kept: the account is not active, or not the one that the caller thinks
--   duplicate   nothing was kept: the idempotency key is taken
CREATE FUNCTION emailmcp.accept_message(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_google_sub text, p_grant_version bigint,
  p_from_email text, p_to jsonb, p_cc jsonb, p_bcc jsonb, p_subject text, p_thread_id text, p_credential_id text,
  p_metadata jsonb, p_send_at timestamptz, p_on_ambiguous text, p_recipients integer, p_class integer,
  p_key_hash bytea, p_fingerprint bytea, p_payload bytea, p_worker text, p_lease interval,
  p_interval double precision, p_burst integer, p_timeline_sending jsonb, p_timeline_queued jsonb,
  OUT status text, OUT epoch bigint)
LANGUAGE plpgsql SECURITY INVOKER
AS $$
#variable_conflict use_column
DECLARE
  moment timestamptz := clock_timestamp();
  mine boolean := false;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  PERFORM FROM user_email_accounts a
    WHERE a.tenant_id = p_tenant_id COLLATE "C" AND a.user_id = p_user_id COLLATE "C" AND a.provider = 'gmail_api'
      AND a.status = 'active' AND a.grant_version = p_grant_version AND a.google_sub = p_google_sub COLLATE "C";
  IF NOT FOUND THEN
    status := 'no_account';
    RETURN;
  END IF;
  IF p_worker IS NOT NULL AND p_send_at IS NULL THEN
    mine := emailmcp.acquire_mailbox(p_google_sub, p_id, p_lease, p_interval, p_burst);
  END IF;
  IF NOT mine AND p_payload IS NULL THEN
    status := 'busy';
    RETURN;
  END IF;
  IF p_key_hash IS NOT NULL THEN
    -- The first answer to mail that nobody waits for is 202, whatever becomes of it. An expired key counts as free.
    INSERT INTO idempotency_keys AS k (tenant_id, user_id, route, key_hash, fingerprint, message_id, response_status)
    VALUES (
      p_tenant_id, p_user_id, 'messages', p_key_hash, p_fingerprint, p_id, CASE WHEN p_class > 0 THEN 202 END)
    ON CONFLICT (tenant_id, user_id, route, key_hash) DO UPDATE
      SET fingerprint = excluded.fingerprint, message_id = excluded.message_id,
          response_status = excluded.response_status, created_at = excluded.created_at, expires_at = excluded.expires_at
      WHERE k.expires_at < clock_timestamp();
    IF NOT FOUND THEN
      IF mine THEN
        PERFORM emailmcp.release_mailbox(p_google_sub, p_id);
      END IF;
      status := 'duplicate';
      RETURN;
    END IF;
  END IF;
  INSERT INTO email_logs (
    tenant_id, user_id, created_at, id, from_email, to_emails, cc_emails, bcc_emails, subject, status, thread_id,
    send_at, credential_id, metadata, timeline)
  VALUES (
    p_tenant_id, p_user_id, p_created_at, p_id, p_from_email, p_to, p_cc, p_bcc, p_subject,
    CASE WHEN mine THEN 'sending' WHEN p_send_at IS NOT NULL THEN 'scheduled' ELSE 'queued' END, p_thread_id,
    p_send_at, p_credential_id, p_metadata, CASE WHEN mine THEN p_timeline_sending ELSE p_timeline_queued END);
  INSERT INTO send_jobs (
    tenant_id, user_id, id, created_at, mailbox, class, run_at, on_ambiguous, recipients, epoch, lease_owner,
    lease_until, intent, intent_at, payload)
  VALUES (
    p_tenant_id, p_user_id, p_id, p_created_at, p_google_sub, p_class, coalesce(p_send_at, moment), p_on_ambiguous,
    p_recipients, mine::integer, CASE WHEN mine THEN p_worker END, CASE WHEN mine THEN moment + p_lease END, mine,
    CASE WHEN mine THEN moment END, p_payload);
  IF mine THEN
    status := 'sending';
    epoch := 1;
  ELSE
    PERFORM emailmcp.wake_mailbox(p_google_sub, coalesce(p_send_at, moment));
    status := 'queued';
    epoch := 0;
  END IF;
END $$;

-- Records that the first byte is about to leave; false when the lease is no longer the caller's.
CREATE FUNCTION emailmcp.record_intent(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_epoch bigint, p_timeline jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE send_jobs SET intent = true, intent_at = clock_timestamp()
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND epoch = p_epoch
      AND lease_until > clock_timestamp();
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE email_logs
    SET status = 'sending', error_code = NULL, error_message = NULL, timeline = timeline || p_timeline
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  RETURN true;
END $$;

-- Records a final status with all that is counted under it, and ends the job; false when the lease is no longer the
-- caller's. `p_recipients`: the addresses to count, lower-cased, each once; for a success only.
CREATE FUNCTION emailmcp.record_outcome(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_epoch bigint, p_google_sub text,
  p_status text, p_message_id text, p_thread_id text, p_error_code text, p_error_message text, p_sent_at timestamptz,
  p_attempts integer, p_recipients text[], p_timeline jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  quarter timestamptz := date_bin('15 minutes', p_sent_at, 'epoch');
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  DELETE FROM send_jobs
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND epoch = p_epoch;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE email_logs
    SET status = p_status, message_id = p_message_id, thread_id = coalesce(p_thread_id, thread_id),
        error_code = p_error_code, error_message = p_error_message, sent_at = p_sent_at, attempts = p_attempts,
        timeline = timeline || p_timeline
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  INSERT INTO email_stats_15m AS s (tenant_id, user_id, bucket, success, failed, unknown)
  VALUES (
    p_tenant_id, p_user_id, quarter, (p_status = 'success')::integer, (p_status = 'failed')::integer,
    (p_status = 'unknown')::integer)
  ON CONFLICT (tenant_id, user_id, bucket) DO UPDATE
    SET success = s.success + excluded.success, failed = s.failed + excluded.failed,
        unknown = s.unknown + excluded.unknown;
  INSERT INTO platform_total_deltas (tenant_id, bucket, success, failed, unknown)
  VALUES (
    p_tenant_id, quarter, (p_status = 'success')::integer, (p_status = 'failed')::integer,
    (p_status = 'unknown')::integer);
  IF p_status = 'success' THEN
    -- In one order, so that two mails to the same people do not lock each other out.
    INSERT INTO email_recipients_day AS r (tenant_id, user_id, day, email, success)
    SELECT p_tenant_id, p_user_id, (p_sent_at AT TIME ZONE 'UTC')::date, e, 1 FROM unnest(p_recipients) AS e ORDER BY e
    ON CONFLICT (tenant_id, user_id, day, email) DO UPDATE SET success = r.success + 1;
    -- "Last used" to the minute: a busy account's row is not written for each mail.
    UPDATE user_email_accounts SET last_used_at = p_sent_at
      WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND provider = 'gmail_api'
        AND (last_used_at IS NULL OR last_used_at < p_sent_at - interval '1 minute');
  END IF;
  PERFORM emailmcp.release_mailbox(p_google_sub, p_id);
  RETURN true;
END $$;

-- Gives a mail back to the queue for `p_run_at`; false when the lease is no longer the caller's.
-- `p_mailbox_free_at`: when it is not null, nothing of this mailbox goes before.
CREATE FUNCTION emailmcp.requeue_job(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_epoch bigint, p_google_sub text,
  p_run_at timestamptz, p_attempts integer, p_parked text, p_error_code text, p_error_message text, p_payload bytea,
  p_mailbox_free_at timestamptz, p_timeline jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE send_jobs
    SET lease_owner = NULL, lease_until = NULL, intent = false, intent_at = NULL, run_at = p_run_at,
        attempts = p_attempts, parked = p_parked, payload = coalesce(p_payload, payload)
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND epoch = p_epoch;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE email_logs
    SET status = 'queued', attempts = p_attempts, error_code = p_error_code, error_message = p_error_message,
        timeline = timeline || p_timeline
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  UPDATE mailboxes SET waiting = true WHERE google_sub = p_google_sub COLLATE "C" AND in_flight_job = p_id;
  PERFORM emailmcp.release_mailbox(p_google_sub, p_id, coalesce(p_mailbox_free_at, '-infinity'), p_parked);
  RETURN true;
END $$;

-- Takes a mail back: 'cancelled' (also when it was already), 'too_late', or 'not_found'.
CREATE FUNCTION emailmcp.cancel_message(
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
      AND (lease_until IS NULL OR lease_until < clock_timestamp());
  IF FOUND THEN
    UPDATE email_logs
      SET status = 'cancelled', error_code = NULL, error_message = NULL, timeline = timeline || p_timeline
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

-- Lets a user's mails go that waited for the account to be connected again; answers how many.
CREATE FUNCTION emailmcp.unpark_jobs(p_tenant_id text, p_user_id text) RETURNS bigint
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moved bigint;
  box text;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE send_jobs SET run_at = clock_timestamp(), parked = NULL
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND parked = 'reauth_required'
      AND lease_until IS NULL;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved > 0 THEN
    FOR box IN SELECT DISTINCT mailbox FROM send_jobs
      WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" ORDER BY mailbox
    LOOP
      PERFORM emailmcp.wake_mailbox(box, clock_timestamp());
    END LOOP;
  END IF;
  RETURN moved;
END $$;

-- How many mails of a tenant wait, counted no further than `p_limit`: the bound on accepted but unsent mail.
CREATE FUNCTION emailmcp.count_unsent(p_tenant_id text, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  RETURN (SELECT count(*) FROM (
    SELECT FROM send_jobs WHERE tenant_id = p_tenant_id COLLATE "C" LIMIT p_limit) AS waiting);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
