-- What the tenant by REST and the operator by the command line do to an endpoint, said once for both.

-- Removes an endpoint; false: there is none. The row and its deliveries are left to the purge: to delete them here would
-- wait for those who tell it, and they for that.
CREATE FUNCTION emailmcp.remove_webhook(p_tenant_id text, p_id text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  UPDATE webhook_endpoints
    SET removed_at = now(), disabled_at = coalesce(disabled_at, now()), secret_sealed = '', previous_sealed = NULL,
        previous_until = NULL
    WHERE tenant_id = p_tenant_id COLLATE "C" AND id = p_id COLLATE "C" AND removed_at IS NULL;
  RETURN FOUND;
END $$;

-- An endpoint's deliveries that wait and that were given up, each counted no further than 100,000.
CREATE FUNCTION emailmcp.count_deliveries(p_tenant_id text, p_id text, OUT pending bigint, OUT dead bigint)
LANGUAGE plpgsql STABLE SECURITY INVOKER
AS $$
BEGIN
  pending := (SELECT count(*) FROM (
    SELECT FROM webhook_deliveries
    WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_id COLLATE "C" AND state = 'pending'
    LIMIT 100000) AS counted);
  dead := (SELECT count(*) FROM (
    SELECT FROM webhook_deliveries
    WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_id COLLATE "C" AND state = 'dead'
    LIMIT 100000) AS counted);
END $$;

-- Lets up to `p_limit` deliveries of an endpoint be told again: those given up after `p_after`, or the one of `p_event` in
-- whatever state it ended. `last` is where the next transaction goes on, past what dies again meanwhile; null: there is
-- nothing behind it. What another transaction holds is being told again or purged.
CREATE FUNCTION emailmcp.replay_deliveries(
  p_tenant_id text, p_id text, p_event text, p_after bigint, p_limit integer DEFAULT 2000,
  OUT replayed bigint, OUT last bigint)
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  seqs bigint[];
BEGIN
  IF p_event IS NULL THEN
    seqs := ARRAY(
      SELECT seq FROM webhook_deliveries
      WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_id COLLATE "C" AND state = 'dead' AND seq > p_after
      ORDER BY seq LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED);
  ELSE
    seqs := ARRAY(
      SELECT seq FROM webhook_deliveries
      WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_id COLLATE "C" AND state <> 'pending' AND id = p_event
      FOR NO KEY UPDATE SKIP LOCKED);
  END IF;
  UPDATE webhook_deliveries SET state = 'pending', replayed_after = attempts, next_at = now(), done_at = NULL
    WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_id COLLATE "C" AND seq = ANY (seqs);
  replayed := cardinality(seqs);
  IF p_event IS NULL AND replayed = p_limit THEN
    last := seqs[replayed];
  END IF;
END $$;

-- What was given up is kept for 30 days. In the index by time alone it stood before what was delivered and may go, so that
-- every purge read all of it.
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (state, done_at) WHERE state <> 'pending';
DROP INDEX webhook_deliveries_done;

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
    SELECT ctid FROM webhook_deliveries WHERE state = 'delivered' AND done_at < now() - interval '3 days'
    ORDER BY done_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT; removed := removed + n;
  DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM webhook_deliveries WHERE state = 'dead' AND done_at < now() - interval '30 days'
    ORDER BY done_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
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
