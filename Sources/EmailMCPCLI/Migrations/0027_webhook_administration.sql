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
  UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = now(), done_at = NULL
    WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_id COLLATE "C" AND seq = ANY (seqs);
  replayed := cardinality(seqs);
  IF p_event IS NULL AND replayed = p_limit THEN
    last := seqs[replayed];
  END IF;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
