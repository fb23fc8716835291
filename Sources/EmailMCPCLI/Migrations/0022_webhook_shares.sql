-- Tenants share what a mailer has under way in webhooks: the form with `p_busy` of 0009 took what it came upon first, so one
-- tenant with slow endpoints could hold every place. That form stays for the mailers of the release before.

-- Claims due deliveries of all tenants, the first of each subject alone, so that one subject's events arrive in order. The
-- arrays say what the caller has under way, a place of each for an endpoint: of one endpoint at most `p_per_endpoint` are
-- under way, of one tenant at most `p_per_tenant`, and of those that are due the tenants with the least under way come
-- first, each with its oldest. A claim lasts `p_lease`.
CREATE FUNCTION emailmcp.claim_webhooks(
  p_per_endpoint integer, p_per_tenant integer, p_limit integer, p_lease interval, p_tenants text[], p_endpoints text[],
  p_counts integer[])
RETURNS TABLE (
  tenant_id text, endpoint_id text, seq bigint, id text, type text, payload text, attempts integer,
  created_at timestamptz, url text, secret_sealed bytea, previous_sealed bytea)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM set_config('emailmcp.scope', 'webhook', true);
  RETURN QUERY
  WITH busy AS MATERIALIZED (
    SELECT * FROM unnest(p_tenants, p_endpoints, p_counts) AS b (tenant_id, endpoint_id, count)
  ), chosen AS MATERIALIZED (
    SELECT * FROM (
      SELECT e.tenant_id, e.id AS endpoint_id, first.seq, first.next_at,
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
      WHERE e.disabled_at IS NULL) AS placed
    WHERE placed.place <= p_per_tenant
    ORDER BY placed.place, placed.next_at LIMIT p_limit
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
    e.secret_sealed, CASE WHEN e.previous_until > now() THEN e.previous_sealed END;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
