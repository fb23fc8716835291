-- A batch of mails that are accepted took the mailboxes of those that go at once, and then woke the mailboxes of those
-- that wait: each in order, but not together. Two batches could then wait for each other until Postgres ended one, a
-- second later. Now a batch locks all its mailboxes first.

-- Locks mailboxes in the order of their google_sub, those first that exist, then those that it makes. In one transaction,
-- call it before anything else touches a mailbox, and once. Whoever waits for a mailbox that is being made has made none
-- that comes later, so no circle can close over the two steps either.
CREATE FUNCTION emailmcp.lock_mailboxes(p_google_subs text[]) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  found text[];
BEGIN
  SELECT coalesce(array_agg(locked.google_sub), '{}') INTO found FROM (
    SELECT m.google_sub FROM mailboxes m WHERE m.google_sub = ANY (p_google_subs)
    ORDER BY m.google_sub FOR NO KEY UPDATE) AS locked;
  IF NOT p_google_subs <@ found THEN
    INSERT INTO mailboxes AS m (google_sub)
    SELECT DISTINCT w.google_sub COLLATE "C" FROM unnest(p_google_subs) AS w (google_sub)
      WHERE NOT w.google_sub = ANY (found) ORDER BY 1
    ON CONFLICT (google_sub) DO UPDATE SET google_sub = m.google_sub WHERE false;
  END IF;
END $$;

-- Accepts mails of one tenant; answers with a word for each, in order:
--   sending     accepted, leased to `p_worker` with its intent recorded: send it now (epoch 1)
--   queued      accepted; it waits for its mailbox or its time
--   busy        nothing was kept: it cannot go at once, and its payload was null. Call again with the payload.
--   suppressed  nothing was kept: a recipient is on the tenant's suppression list
--   no_account  nothing was kept: the account is not active, or not the one that the caller thinks
--   duplicate   nothing was kept: the idempotency key is taken
-- `p_at_once`: it would be sent by `p_worker` now. A timeline each for those that are sent, queued, scheduled.
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
