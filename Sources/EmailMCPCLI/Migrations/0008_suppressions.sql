-- Whom a tenant may not write to: addresses and whole domains, checked when mail is accepted.

-- `entry` is an address (`local@domain`) or a domain, which stands for the domains below it too; lower case, the domain
-- in its ASCII form.
CREATE TABLE suppressions (
  tenant_id  text COLLATE "C" NOT NULL REFERENCES tenants (id),
  entry      text COLLATE "C" NOT NULL
    CHECK (octet_length(entry) BETWEEN 3 AND 254 AND entry = lower(entry)
      AND entry ~ '^([!-~]([ -~]*[!-~])?@)?[a-z0-9-]+([.][a-z0-9-]+)+$'),
  reason     text CHECK (char_length(reason) <= 255),
  source     text NOT NULL CHECK (source IN ('platform', 'unsubscribe')),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, entry)
);
ALTER TABLE suppressions ENABLE ROW LEVEL SECURITY;
ALTER TABLE suppressions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON suppressions
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
GRANT SELECT, INSERT, DELETE ON suppressions TO emailmcp_service;

-- The entries that would suppress an address: itself, its domain, and the domains above that.
CREATE FUNCTION emailmcp.suppression_keys(p_address text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  domain text := split_part(lower(p_address), '@', -1);
  keys text[] := ARRAY[lower(p_address)];
BEGIN
  WHILE position('.' IN domain) > 0 LOOP
    keys := keys || domain;
    domain := substr(domain, position('.' IN domain) + 1);
  END LOOP;
  RETURN keys;
END $$;

-- Those of `p_addresses` that the tenant's list suppresses. Call it in the tenant's transaction. In PL/pgSQL, which
-- keeps its plans, and address by address, so that no plan reads the whole list.
CREATE FUNCTION emailmcp.suppressed_of(p_tenant_id text, p_addresses text[]) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
DECLARE
  address text;
BEGIN
  FOREACH address IN ARRAY p_addresses LOOP
    PERFORM FROM suppressions s
      WHERE s.tenant_id = p_tenant_id COLLATE "C" AND s.entry = ANY (emailmcp.suppression_keys(address)) LIMIT 1;
    IF FOUND THEN
      RETURN NEXT address;
    END IF;
  END LOOP;
END $$;

-- Whether any recipient is suppressed. A tenant without a list pays one probe of an index: the order keeps the planner
-- from reading other tenants' rows in search of one.
CREATE FUNCTION emailmcp.has_suppressed(p_tenant_id text, p_to jsonb, p_cc jsonb, p_bcc jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
BEGIN
  PERFORM FROM suppressions s WHERE s.tenant_id = p_tenant_id COLLATE "C" ORDER BY s.tenant_id, s.entry LIMIT 1;
  RETURN FOUND AND EXISTS (SELECT FROM emailmcp.suppressed_of(p_tenant_id, ARRAY(
    SELECT e FROM jsonb_array_elements_text(p_to || p_cc || p_bcc) AS e)));
END $$;

-- Accepts a mail. `status` of the answer:
--   sending     accepted, leased to `p_worker` with its intent recorded: send it now (epoch 1)
--   queued      accepted; it waits for its mailbox or its time
--   busy        nothing was kept: it cannot go at once, and `p_payload` was null. Call again with the payload.
--   suppressed  nothing was kept: a recipient is on the tenant's suppression list
--   no_account  nothing was kept: the account is not active, or not the one that the caller thinks
--   duplicate   nothing was kept: the idempotency key is taken
CREATE OR REPLACE FUNCTION emailmcp.accept_message(
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
  IF emailmcp.has_suppressed(p_tenant_id, p_to, p_cc, p_bcc) THEN
    status := 'suppressed';
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
