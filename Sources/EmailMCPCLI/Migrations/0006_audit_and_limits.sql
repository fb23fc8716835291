-- The audit trail, request rates shared by the edge's replicas, and the purge of what has expired.

-- Append-only: there is a policy to read and one to insert, and none to change or remove, for the owner neither.
-- Never a token, never a body.
CREATE TABLE audit_events (
  tenant_id  text COLLATE "C" NOT NULL,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  id         uuid NOT NULL DEFAULT gen_random_uuid(),
  actor      text NOT NULL,                                 -- credential id, 'owner' for the command line
  action     text NOT NULL,                                 -- 'gmail.connected', 'key.revoked', …
  user_id    text COLLATE "C",                              -- on whom
  target     text,                                          -- on what
  outcome    text NOT NULL DEFAULT 'success',
  request_id text,
  detail     jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (tenant_id, at, id)
);
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_read ON audit_events FOR SELECT
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY tenant_append ON audit_events FOR INSERT
  WITH CHECK (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
GRANT SELECT, INSERT ON audit_events TO emailmcp_service;

-- Generic cell rate: one timestamp a key, the theoretical arrival time of the next token. Unlogged: after a crash of
-- the database every key starts with its burst again, which is the price of not syncing a disk for each request.
CREATE UNLOGGED TABLE rate_limits (
  tenant_id text COLLATE "C" NOT NULL,
  key       text COLLATE "C" NOT NULL,                      -- 'key:<id>', 'user:<id>', …
  tat       timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX rate_limits_tat ON rate_limits (tat);
ALTER TABLE rate_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE rate_limits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rate_limits
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY purge ON rate_limits TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'purge' AND tat < now() - interval '1 hour');
GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limits TO emailmcp_service;

-- Takes up to `p_want` tokens from the transaction's tenant's bucket `p_key`, which refills at `p_per_second` and holds
-- `p_burst`. A replica may take some in advance. `retry_after` is in seconds, 0 when all were granted.
CREATE FUNCTION emailmcp.take_tokens(
  p_key text, p_per_second double precision, p_burst integer, p_want integer)
RETURNS TABLE (granted integer, retry_after double precision)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
AS $$
DECLARE
  tenant text := nullif(current_setting('emailmcp.tenant_id', true), '');
  moment timestamptz;
  per_token double precision := 1 / p_per_second;
  ahead double precision;   -- how far the bucket's time is ahead of the clock, in seconds
BEGIN
  IF p_per_second <= 0 OR p_burst < 1 OR p_want < 1 THEN
    RAISE EXCEPTION 'rate, burst and want must be positive' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO rate_limits (tenant_id, key, tat) VALUES (tenant, p_key, '-infinity') ON CONFLICT DO NOTHING;
  SELECT CASE WHEN r.tat <= clock_timestamp() THEN 0 ELSE extract(epoch FROM r.tat - clock_timestamp()) END
    INTO ahead FROM rate_limits r WHERE r.tenant_id = tenant COLLATE "C" AND r.key = p_key COLLATE "C" FOR UPDATE;
  moment := clock_timestamp();
  granted := greatest(0, least(p_want, floor(p_burst - ahead * p_per_second + 1e-6)::integer));
  IF granted > 0 THEN
    UPDATE rate_limits SET tat = moment + make_interval(secs => ahead + granted * per_token)
      WHERE rate_limits.tenant_id = tenant COLLATE "C" AND rate_limits.key = p_key COLLATE "C";
  END IF;
  retry_after := CASE WHEN granted = p_want THEN 0
    ELSE greatest(0, ahead + granted * per_token - (p_burst - 1) * per_token) END;
  RETURN NEXT;
END $$;

-- Removes up to `p_limit` rows of each kind that have expired, over all tenants; answers how many. Call it each minute.
CREATE FUNCTION emailmcp.purge_expired(p_limit integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  removed bigint := 0;
  n bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'purge', true);
  DELETE FROM oauth_flows WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM oauth_flows WHERE expires_at < now() LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE expires_at < now() LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  DELETE FROM vault_secrets WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM vault_secrets WHERE purge_at < now() LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  DELETE FROM rate_limits WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM rate_limits WHERE tat < now() - interval '1 hour' LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  DELETE FROM mailbox_usage WHERE hour < now() - interval '26 hours';
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN removed;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
