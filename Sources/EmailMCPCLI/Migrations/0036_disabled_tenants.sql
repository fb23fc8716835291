-- A tenant that was disabled had its keys refused, and nothing else: what it had in the queue was sent, and its webhooks were
-- told. Now no request of its begins and no mail of it is accepted from the commit on that disables it, and its queue is
-- held: it costs claims nothing, and goes on when the tenant is enabled.

-- `held_at`: its whole queue is held. What was in a worker's hands is held where its request would begin.
ALTER TABLE tenants ADD COLUMN held_at timestamptz;
CREATE INDEX tenants_disabled ON tenants (disabled_at) WHERE disabled_at IS NOT NULL;
CREATE POLICY queue_read ON tenants FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) IN ('queue', 'webhook'));
CREATE POLICY queue_held ON tenants FOR UPDATE TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'queue');

-- Held mail is due when the others of its kind will never be, and comes back to the time that it had.
ALTER TABLE send_jobs ADD COLUMN resume_at timestamptz;       -- not null while it is held: its `run_at` of before
CREATE INDEX send_jobs_held ON send_jobs (tenant_id COLLATE "POSIX", resume_at) WHERE resume_at IS NOT NULL;

-- What orders the steps of a tenant's mail and the command that disables it: those have it shared until they are committed,
-- that has it alone.
CREATE FUNCTION emailmcp.tenant_lock(p_tenant_id text) RETURNS bigint
LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtextextended('emailmcp.tenant ' || p_tenant_id, 0) $$;

-- Whether the tenant is not disabled, and will not be before this transaction is over.
CREATE FUNCTION emailmcp.may_send(p_tenant_id text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(emailmcp.tenant_lock(p_tenant_id));
  -- By a snapshot of after the lock.
  RETURN NOT EXISTS (SELECT FROM tenants t WHERE t.id = p_tenant_id COLLATE "C" AND t.disabled_at IS NOT NULL);
END $$;

-- Tenants with something left to do: those whose queue is not held yet, with the time since when they are disabled, and
-- those with held mail that are enabled.
CREATE FUNCTION emailmcp.unsettled_tenants() RETURNS TABLE (tenant_id text, disabled_at timestamptz)
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
  SELECT t.id, t.disabled_at FROM tenants t WHERE t.disabled_at IS NOT NULL AND t.held_at IS NULL;
  RETURN QUERY
  WITH RECURSIVE held AS (
    (SELECT s.tenant_id FROM send_jobs s WHERE s.resume_at IS NOT NULL ORDER BY s.tenant_id COLLATE "POSIX" LIMIT 1)
    UNION ALL
    SELECT (SELECT s.tenant_id FROM send_jobs s
      WHERE s.resume_at IS NOT NULL AND s.tenant_id > h.tenant_id COLLATE "POSIX"
      ORDER BY s.tenant_id COLLATE "POSIX" LIMIT 1)
    FROM held h WHERE h.tenant_id IS NOT NULL
  )
  SELECT t.id, t.disabled_at FROM held h JOIN tenants t ON t.id = h.tenant_id WHERE t.disabled_at IS NULL;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Holds up to `p_limit` mails of a tenant, by their keys from behind `p_after_user`, `p_after_id` on, and answers with the
-- last; null: it was done, or it is not (any more) disabled since `p_disabled_at`. What another transaction has locked or a
-- worker has in hand is left out: it is held where its request would begin.
CREATE FUNCTION emailmcp.hold_mail(
  p_tenant_id text, p_disabled_at timestamptz, p_after_user text, p_after_id uuid, p_limit integer,
  OUT last_user text, OUT last_id uuid)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  users text[];
  ids uuid[];
  boxes text[];
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true), pg_advisory_xact_lock_shared(emailmcp.tenant_lock(p_tenant_id));
  IF EXISTS (SELECT FROM tenants t
      WHERE t.id = p_tenant_id COLLATE "C" AND t.disabled_at = p_disabled_at AND t.held_at IS NULL) THEN
    SELECT coalesce(array_agg(p.user_id), '{}'), coalesce(array_agg(p.id), '{}') INTO users, ids FROM (
      SELECT s.user_id, s.id FROM send_jobs s
      WHERE s.tenant_id = p_tenant_id COLLATE "C" AND (s.user_id, s.id) > (p_after_user COLLATE "C", p_after_id)
      ORDER BY s.user_id, s.id LIMIT p_limit) AS p;
    WITH free AS MATERIALIZED (
      SELECT s.tenant_id, s.user_id, s.id FROM unnest(users, ids) AS p (user_id, id)
      JOIN send_jobs s ON s.tenant_id = ANY (ARRAY[p_tenant_id COLLATE "C"]) AND s.user_id = p.user_id COLLATE "C"
        AND s.id = p.id
      WHERE s.lease_until IS NULL AND s.resume_at IS NULL
      FOR UPDATE OF s SKIP LOCKED
    ), held AS (
      UPDATE send_jobs s
        SET resume_at = CASE WHEN s.run_at = 'infinity' THEN moment ELSE s.run_at END, run_at = 'infinity',
            parked = 'tenant_disabled'
        FROM free f WHERE s.tenant_id = ANY (ARRAY[f.tenant_id]) AND s.user_id = f.user_id AND s.id = f.id
        RETURNING s.mailbox
    )
    SELECT array_agg(DISTINCT mailbox) INTO boxes FROM held;
    -- A mailbox that is in use finds out by itself; the others are locked before their queues are looked at.
    SELECT array_agg(free.google_sub) INTO boxes FROM (
      SELECT m.google_sub FROM mailboxes m WHERE m.google_sub = ANY (boxes) AND m.in_flight_until <= moment
      FOR NO KEY UPDATE SKIP LOCKED) AS free;
    UPDATE mailboxes m
      SET (wake_at, urgent_at, wake_tenant, waiting) = (
        SELECT t.wake, t.urgent, t.tenant, t.wake IS NOT NULL FROM emailmcp.next_turn(m.google_sub, m.next_free_at) AS t)
      WHERE m.google_sub = ANY (boxes);
    IF cardinality(ids) < p_limit THEN
      UPDATE tenants SET held_at = moment WHERE id = p_tenant_id COLLATE "C";
    ELSE
      last_user := users[p_limit];
      last_id := ids[p_limit];
    END IF;
  END IF;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Gives up to `p_limit` held mails of a tenant that is enabled back to the queue, those first that were due first; answers
-- how many. A mail that waited for its account to be connected again is due now, and waits for that again if it must.
CREATE FUNCTION emailmcp.release_mail(p_tenant_id text, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  boxes text[];
  times timestamptz[];
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true), set_config('emailmcp.scope', 'queue', true);
  IF emailmcp.may_send(p_tenant_id) THEN
    WITH first AS MATERIALIZED (
      SELECT s.tenant_id, s.user_id, s.id FROM send_jobs s
      WHERE s.tenant_id = p_tenant_id COLLATE "POSIX" AND s.resume_at IS NOT NULL
      ORDER BY s.resume_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), released AS (
      UPDATE send_jobs s SET run_at = s.resume_at, resume_at = NULL, parked = NULL
        FROM first f WHERE s.tenant_id = ANY (ARRAY[f.tenant_id]) AND s.user_id = f.user_id AND s.id = f.id
        RETURNING s.mailbox, s.run_at
    )
    SELECT array_agg(mailbox), array_agg(run_at) INTO boxes, times FROM released;
    IF boxes IS NOT NULL THEN
      PERFORM emailmcp.wake_mailboxes(boxes, times);
    END IF;
  END IF;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN coalesce(cardinality(boxes), 0);
END $$;

-- As in 0015, and for all of a tenant's mails
--   disabled    nothing was kept: the tenant is disabled
CREATE OR REPLACE FUNCTION emailmcp.accept_messages(
  p_tenant_id text, p_worker text, p_lease interval, p_interval double precision, p_burst integer, p_day_limit integer,
  p_timeline_sending jsonb, p_timeline_queued jsonb, p_timeline_scheduled jsonb,
  p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_google_subs text[], p_grant_versions bigint[],
  p_from_emails text[], p_tos jsonb[], p_ccs jsonb[], p_bccs jsonb[], p_subjects text[], p_thread_ids text[],
  p_credential_ids text[], p_metadatas jsonb[], p_send_ats timestamptz[], p_on_ambiguous text[],
  p_recipients integer[], p_classes integer[], p_key_hashes bytea[], p_fingerprints bytea[], p_payloads bytea[],
  p_at_once boolean[])
RETURNS text[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  known uuid[];
  at_once uuid[];
  at_once_subs text[];
  at_once_recipients integer[];
  mine uuid[] := '{}';
  suppressed uuid[] := '{}';
  statuses text[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  IF NOT emailmcp.may_send(p_tenant_id) THEN
    RETURN array_fill('disabled'::text, ARRAY[cardinality(p_ids)]);
  END IF;
  PERFORM emailmcp.lock_mailboxes(p_google_subs);
  -- A tenant without a list pays one probe of an index: the order keeps the planner from reading other tenants' rows.
  PERFORM FROM suppressions s WHERE s.tenant_id = p_tenant_id COLLATE "C" ORDER BY s.tenant_id, s.entry LIMIT 1;
  IF FOUND THEN
    SELECT coalesce(array_agg(m.id), '{}') INTO suppressed
      FROM unnest(p_ids, p_tos, p_ccs, p_bccs) AS m (id, tos, ccs, bccs)
      WHERE EXISTS (SELECT FROM emailmcp.suppressed_of(p_tenant_id, ARRAY(
        SELECT e FROM jsonb_array_elements_text(m.tos || m.ccs || m.bccs) AS e)));
  END IF;
  SELECT array_agg(m.id), array_agg(m.id) FILTER (WHERE go), array_agg(m.google_sub) FILTER (WHERE go),
         array_agg(m.recipients) FILTER (WHERE go)
    INTO known, at_once, at_once_subs, at_once_recipients
    FROM unnest(p_user_ids, p_ids, p_google_subs, p_grant_versions, p_recipients, p_at_once)
      AS u (user_id, id, google_sub, grant_version, recipients, wants)
    CROSS JOIN LATERAL (SELECT u.*, u.wants AND NOT u.id = ANY (suppressed) AS go) AS m
    CROSS JOIN LATERAL (
      SELECT a.status, a.grant_version, a.google_sub FROM user_email_accounts a
      WHERE a.tenant_id = p_tenant_id COLLATE "C" AND a.user_id = m.user_id COLLATE "C" AND a.provider = 'gmail_api'
      OFFSET 0) AS a
    WHERE a.status = 'active' AND a.grant_version = m.grant_version AND a.google_sub = m.google_sub COLLATE "C";
  IF at_once IS NOT NULL THEN
    mine := emailmcp.acquire_mailboxes(
      at_once_subs, at_once, at_once_recipients, p_lease, p_interval, p_burst, p_day_limit);
  END IF;
  WITH mail AS MATERIALIZED (
    SELECT m.*, m.id = ANY (known) IS TRUE AS is_known, m.id = ANY (mine) AS is_mine,
      m.id = ANY (suppressed) AS is_suppressed
    FROM unnest(
        p_user_ids, p_ids, p_created_ats, p_google_subs, p_from_emails, p_tos, p_ccs, p_bccs, p_subjects, p_thread_ids,
        p_credential_ids, p_metadatas, p_send_ats, p_on_ambiguous, p_recipients, p_classes, p_key_hashes, p_fingerprints,
        p_payloads) WITH ORDINALITY
      AS m (user_id, id, created_at, google_sub, from_email, tos, ccs, bccs, subject, thread_id, credential_id, metadata,
        send_at, on_ambiguous, recipients, class, key_hash, fingerprint, payload, ord)
  ), keyed AS (
    -- The first answer to mail that nobody waits for is 202, whatever becomes of it. An expired key counts as free.
    INSERT INTO idempotency_keys AS k (tenant_id, user_id, route, key_hash, fingerprint, message_id, response_status)
    SELECT p_tenant_id, user_id, 'messages', key_hash, fingerprint, id, CASE WHEN class > 0 THEN 202 END FROM (
      SELECT DISTINCT ON (user_id COLLATE "C", key_hash) * FROM mail
      WHERE key_hash IS NOT NULL AND is_known AND NOT is_suppressed AND (is_mine OR payload IS NOT NULL)
      ORDER BY user_id COLLATE "C", key_hash, ord) AS first
    ON CONFLICT (tenant_id, user_id, route, key_hash) DO UPDATE
      SET fingerprint = excluded.fingerprint, message_id = excluded.message_id,
          response_status = excluded.response_status, created_at = excluded.created_at, expires_at = excluded.expires_at
      WHERE k.expires_at < clock_timestamp()
    RETURNING message_id
  ), judged AS MATERIALIZED (
    SELECT mail.*, CASE WHEN NOT is_known THEN 'no_account' WHEN is_suppressed THEN 'suppressed'
        WHEN NOT is_mine AND payload IS NULL THEN 'busy'
        WHEN key_hash IS NOT NULL AND NOT EXISTS (SELECT FROM keyed WHERE message_id = mail.id) THEN 'duplicate'
        WHEN is_mine THEN 'sending' ELSE 'queued' END AS verdict
    FROM mail
  ), logged AS (
    INSERT INTO email_logs (
      tenant_id, user_id, created_at, id, from_email, to_emails, cc_emails, bcc_emails, subject, status, thread_id,
      send_at, credential_id, metadata, timeline)
    SELECT p_tenant_id, user_id, created_at, id, from_email, tos, ccs, bccs, subject,
      CASE WHEN is_mine THEN 'sending' WHEN send_at IS NOT NULL THEN 'scheduled' ELSE 'queued' END, thread_id,
      send_at, credential_id, metadata, CASE WHEN is_mine THEN p_timeline_sending
        WHEN send_at IS NOT NULL THEN p_timeline_scheduled ELSE p_timeline_queued END
    FROM judged WHERE verdict IN ('sending', 'queued')
  ), stored AS (
    INSERT INTO send_jobs (
      tenant_id, user_id, id, created_at, mailbox, class, run_at, on_ambiguous, recipients, epoch, lease_owner,
      lease_until, intent, intent_at, payload)
    SELECT p_tenant_id, user_id, id, created_at, google_sub, class, coalesce(send_at, moment), on_ambiguous,
      recipients, is_mine::integer, CASE WHEN is_mine THEN p_worker END, CASE WHEN is_mine THEN moment + p_lease END,
      is_mine, CASE WHEN is_mine THEN moment END, payload
    FROM judged WHERE verdict IN ('sending', 'queued')
  )
  SELECT array_agg(verdict ORDER BY ord) INTO statuses FROM judged;
  IF 'duplicate' = ANY (statuses) AND mine <> '{}' THEN
    PERFORM emailmcp.release_mailboxes(
      array_agg(m.google_sub), array_agg(m.id), array_agg('-infinity'::timestamptz), array_agg(NULL::text),
      array_agg(m.recipients))
    FROM unnest(statuses, p_ids, p_google_subs, p_recipients) AS m (status, id, google_sub, recipients)
    WHERE m.status = 'duplicate' AND m.id = ANY (mine) HAVING count(*) > 0;
  END IF;
  IF 'queued' = ANY (statuses) THEN
    PERFORM emailmcp.wake_mailboxes(array_agg(m.google_sub), array_agg(coalesce(m.send_at, moment)))
    FROM unnest(statuses, p_google_subs, p_send_ats) AS m (status, google_sub, send_at) WHERE m.status = 'queued';
  END IF;
  RETURN statuses;
END $$;

-- As in 0034, and for all of a tenant's mails
--   disabled    nothing was recorded: the tenant is disabled
CREATE OR REPLACE FUNCTION emailmcp.begin_requests(
  p_tenant_id text, p_timeline jsonb, p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_epochs bigint[])
RETURNS text[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  suppressed uuid[] := '{}';
  mine uuid[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  IF NOT emailmcp.may_send(p_tenant_id) THEN
    RETURN array_fill('disabled'::text, ARRAY[cardinality(p_ids)]);
  END IF;
  -- A tenant without a list pays one probe of an index: the order keeps the planner from reading other tenants' rows.
  PERFORM FROM suppressions s WHERE s.tenant_id = p_tenant_id COLLATE "C" ORDER BY s.tenant_id, s.entry LIMIT 1;
  IF FOUND THEN
    SELECT coalesce(array_agg(m.id), '{}') INTO suppressed
      FROM (SELECT p_tenant_id AS tenant_id, * FROM unnest(p_user_ids, p_ids, p_created_ats, p_epochs)
        AS u (user_id, id, created_at, epoch)) AS m
      JOIN send_jobs s ON s.tenant_id = ANY (ARRAY[m.tenant_id COLLATE "C"]) AND s.user_id = m.user_id COLLATE "C"
        AND s.id = m.id AND s.epoch = m.epoch
      JOIN email_logs l ON l.tenant_id = ANY (ARRAY[m.tenant_id COLLATE "C"]) AND l.user_id = m.user_id COLLATE "C"
        AND l.created_at = m.created_at AND l.id = m.id
      WHERE s.ambiguous_tries = 0 AND EXISTS (SELECT FROM emailmcp.suppressed_of(p_tenant_id, ARRAY(
        SELECT e FROM jsonb_array_elements_text(l.to_emails || l.cc_emails || l.bcc_emails) AS e)));
  END IF;
  WITH meant AS (
    UPDATE send_jobs s SET intent = true, intent_at = moment
      FROM (SELECT p_tenant_id AS tenant_id, * FROM unnest(p_user_ids, p_ids, p_created_ats, p_epochs)
        AS u (user_id, id, created_at, epoch) ORDER BY user_id COLLATE "C", id OFFSET 0) AS m
      WHERE s.tenant_id = ANY (ARRAY[m.tenant_id COLLATE "C"]) AND s.user_id = m.user_id COLLATE "C" AND s.id = m.id
        AND s.epoch = m.epoch AND s.lease_until > moment AND NOT m.id = ANY (suppressed)
      RETURNING s.tenant_id, s.user_id, s.id, m.created_at
  ), logged AS (
    UPDATE email_logs l
      SET status = 'sending', error_code = NULL, error_message = NULL, timeline = l.timeline || p_timeline
      FROM meant m
      WHERE l.tenant_id = ANY (ARRAY[m.tenant_id]) AND l.user_id = m.user_id AND l.created_at = m.created_at
        AND l.id = m.id AND l.status <> 'sending'
  )
  SELECT coalesce(array_agg(id), '{}') INTO mine FROM meant;
  RETURN ARRAY(
    SELECT CASE WHEN u.id = ANY (mine) THEN 'recorded' WHEN u.id = ANY (suppressed) THEN 'suppressed' ELSE 'lost' END
    FROM unnest(p_ids) WITH ORDINALITY AS u (id, ord) ORDER BY u.ord);
END $$;

-- As in 0028. Parked as 'tenant_disabled' a mail is held, and is due at `p_run_at` when the tenant is enabled.
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
    SET lease_owner = NULL, lease_until = NULL, intent = false, intent_at = NULL,
        run_at = CASE WHEN p_parked = 'tenant_disabled' THEN 'infinity' ELSE p_run_at END,
        resume_at = CASE WHEN p_parked = 'tenant_disabled' THEN p_run_at END,
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

-- An endpoint that answers late, or not at all, holds a place meanwhile: a thousand of them held all, and another tenant's
-- event waited for 14 s.
ALTER TABLE webhook_endpoints ADD COLUMN slow boolean;          -- whether its last attempt took long; null: none has ended

-- As in 0009. `p_slow`: not said (by the release before) it goes by whether there was an answer.
DROP FUNCTION emailmcp.finish_webhook(text, text, bigint, integer, text, interval, integer, text, boolean);
CREATE FUNCTION emailmcp.finish_webhook(
  p_tenant_id text, p_endpoint_id text, p_seq bigint, p_attempt integer, p_state text, p_delay interval,
  p_status integer, p_error text, p_disable boolean, p_slow boolean DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  was_slow boolean := coalesce(p_slow, p_status IS NULL);
  about text;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE webhook_deliveries
    SET state = p_state, next_at = moment + p_delay, last_status = p_status, last_error = p_error,
        done_at = CASE WHEN p_state <> 'pending' THEN moment END
    WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_endpoint_id COLLATE "C" AND seq = p_seq
      AND attempts = p_attempt AND state = 'pending'
    RETURNING subject INTO about;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE webhook_deliveries
    SET next_at = CASE WHEN p_state = 'pending' THEN greatest(next_at, moment + p_delay) ELSE moment END
    WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_endpoint_id COLLATE "C" AND subject = about
      AND state = 'pending' AND seq > p_seq;
  UPDATE webhook_endpoints SET slow = was_slow
    WHERE tenant_id = p_tenant_id COLLATE "C" AND id = p_endpoint_id COLLATE "C" AND slow IS DISTINCT FROM was_slow;
  IF p_disable THEN
    UPDATE webhook_endpoints SET disabled_at = moment
      WHERE tenant_id = p_tenant_id COLLATE "C" AND id = p_endpoint_id COLLATE "C" AND disabled_at IS NULL;
  END IF;
  RETURN true;
END $$;

-- As in 0029; tenants that are disabled wait. Of all places, those of what is under way included, slow endpoints have half at
-- most, and with those that have not shown yet what they are three quarters.
CREATE OR REPLACE FUNCTION emailmcp.claim_webhooks(
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
  resting text[];
  all_places bigint := p_limit + (SELECT coalesce(sum(c), 0) FROM unnest(p_counts) AS c);
BEGIN
  PERFORM set_config('emailmcp.scope', 'webhook', true);
  resting := ARRAY(SELECT t.id FROM tenants t WHERE t.disabled_at IS NOT NULL);
  RETURN QUERY
  WITH busy AS MATERIALIZED (
    SELECT * FROM unnest(p_tenants, p_endpoints, p_counts) AS b (tenant_id, endpoint_id, count)
  ), taken AS MATERIALIZED (
    SELECT coalesce(sum(b.count) FILTER (WHERE e.slow), 0) AS slow,
           coalesce(sum(b.count) FILTER (WHERE e.slow IS NOT FALSE), 0) AS unproven
    FROM busy b JOIN webhook_endpoints e ON e.tenant_id = b.tenant_id AND e.id = b.endpoint_id
  ), placed AS (
    SELECT e.tenant_id, e.id AS endpoint_id, e.slow, first.seq, first.next_at,
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
    WHERE e.disabled_at IS NULL AND NOT e.tenant_id = ANY (resting)
  ), some_slow AS (
    SELECT p.*, row_number() OVER (PARTITION BY slow IS TRUE ORDER BY place, next_at) AS number
    FROM placed p WHERE place <= p_per_tenant
  ), some_unproven AS (
    SELECT s.tenant_id, s.endpoint_id, s.slow, s.seq, s.place, s.next_at,
      row_number() OVER (PARTITION BY s.slow IS FALSE ORDER BY s.place, s.next_at) AS number
    FROM some_slow s, taken WHERE s.slow IS NOT TRUE OR s.number <= (all_places + 1) / 2 - taken.slow
  ), chosen AS MATERIALIZED (
    SELECT s.tenant_id, s.endpoint_id, s.seq FROM some_unproven s, taken
    WHERE s.slow IS FALSE OR s.number <= (all_places * 3 + 3) / 4 - taken.unproven
    ORDER BY s.place, s.next_at LIMIT p_limit
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
