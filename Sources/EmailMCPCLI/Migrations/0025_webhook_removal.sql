-- Who changes a status no longer waits for an endpoint's removal, nor fails by it: the row of a removed endpoint stays
-- for a while, and its deliveries go some thousands at a time.

-- The row of a removed endpoint is disabled too, so that whatever asks for that alone, the release before included,
-- tells it nothing and cannot bring it back.
ALTER TABLE webhook_endpoints
  ADD COLUMN removed_at timestamptz,
  ADD CONSTRAINT webhook_endpoints_removed CHECK (removed_at IS NULL OR disabled_at IS NOT NULL);
CREATE POLICY purge ON webhook_endpoints FOR DELETE TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'purge' AND removed_at IS NOT NULL);

-- What was given up, to be counted and told again without a look at what was delivered.
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (tenant_id, endpoint_id, seq) WHERE state = 'dead';

-- An endpoint more, unless the tenant has 16 (each event is written once an endpoint): then false.
CREATE OR REPLACE FUNCTION emailmcp.add_webhook(
  p_tenant_id text, p_id text, p_url text, p_final_only boolean, p_secret bytea)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('emailmcp.webhooks ' || p_tenant_id, 0));
  IF (SELECT count(*) FROM webhook_endpoints
      WHERE tenant_id = p_tenant_id COLLATE "C" AND removed_at IS NULL) >= 16 THEN
    RETURN false;
  END IF;
  INSERT INTO webhook_endpoints (tenant_id, id, url, final_only, secret_sealed)
  VALUES (p_tenant_id, p_id, p_url, p_final_only, p_secret);
  RETURN true;
END $$;

-- Writes an event for every endpoint of the tenant that wants it. The lock is the one that the foreign key takes; taken
-- before, it leaves out a row that is being deleted, where the foreign key's check would fail.
CREATE OR REPLACE FUNCTION emailmcp.tell_platform(
  p_tenant_id text, p_subject text, p_type text, p_is_final boolean, p_data jsonb)
RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  event_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  event text := jsonb_build_object('type', p_type,
    'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', p_data)::text;
BEGIN
  INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload)
  SELECT p_tenant_id, e.id, event_id, p_subject, p_type, event FROM (
    SELECT id FROM webhook_endpoints
    WHERE tenant_id = p_tenant_id COLLATE "C" AND disabled_at IS NULL AND removed_at IS NULL
      AND (p_is_final OR NOT final_only)
    FOR KEY SHARE) AS e;
END $$;

-- A tenant without an endpoint pays one probe of an index for each status; the order keeps the planner from reading
-- other tenants' rows in search of one.
CREATE OR REPLACE FUNCTION emailmcp.tell_message_status() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM FROM webhook_endpoints e WHERE e.tenant_id = NEW.tenant_id AND e.removed_at IS NULL
    ORDER BY e.tenant_id, e.id LIMIT 1;
  IF FOUND THEN
    PERFORM emailmcp.tell_platform(
      NEW.tenant_id, NEW.id::text, 'message.' || NEW.status,
      NEW.status IN ('success', 'failed', 'unknown', 'cancelled'),
      jsonb_build_object('id', NEW.id, 'user_id', NEW.user_id, 'status', NEW.status, 'message_id', NEW.message_id,
        'thread_id', NEW.thread_id, 'code', NEW.error_code, 'error', NEW.error_message, 'attempts', NEW.attempts,
        'sent_at', to_char(NEW.sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'metadata', NEW.metadata));
  END IF;
  RETURN NULL;
END $$;

-- As in 0023, but a tenant whose endpoints are all removed has nobody to tell.
CREATE OR REPLACE FUNCTION emailmcp.begin_batch(p_tenant_id text) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true),
    set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_material', 'off', true),
    set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true);
  PERFORM FROM webhook_endpoints e WHERE e.tenant_id = p_tenant_id COLLATE "C" AND e.removed_at IS NULL
    ORDER BY e.tenant_id, e.id LIMIT 1;
  PERFORM set_config('emailmcp.untold', CASE WHEN FOUND THEN '' ELSE p_tenant_id END, true);
END $$;

-- Removes up to `p_limit` of each: what was delivered more than 3 days ago and what was given up more than 30 days ago
-- (until then it can be told again); what removed endpoints have, waiting or done; removed endpoints that have nothing
-- any more. Those stay for a minute, so that nobody who had seen them before waits for their rows. Answers how many in
-- all: at least `p_limit` when there may be more.
CREATE OR REPLACE FUNCTION emailmcp.purge_webhooks(p_limit integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  removed bigint := 0;
  n bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'purge', true);
  DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM webhook_deliveries
    WHERE state <> 'pending' AND done_at < now() - interval '3 days'
      AND (state = 'delivered' OR done_at < now() - interval '30 days')
    LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  -- Endpoint by endpoint, each by its key: there are few, and the table of deliveries is large.
  DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY(
    SELECT d.place FROM webhook_endpoints e CROSS JOIN LATERAL (
      SELECT ctid AS place FROM webhook_deliveries
      WHERE tenant_id = e.tenant_id AND endpoint_id = e.id LIMIT p_limit FOR UPDATE SKIP LOCKED) AS d
    WHERE e.removed_at IS NOT NULL LIMIT p_limit));
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  DELETE FROM webhook_endpoints WHERE ctid = ANY (ARRAY(
    SELECT e.ctid FROM webhook_endpoints e
    WHERE e.removed_at < now() - interval '1 minute'
      AND (SELECT d.seq FROM webhook_deliveries d
        WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.id LIMIT 1) IS NULL
    LIMIT p_limit));
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN removed;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
