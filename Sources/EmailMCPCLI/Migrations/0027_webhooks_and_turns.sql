-- What the tenant by REST and the operator by the command line do to a webhook endpoint, said once for both; a purge that
-- reads what it removes; and turns for mailboxes that have mail of both kinds.

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

-- Mailboxes whose interactive mail comes after bulk mail: until it is due their bulk mail has its turn as others' has. They
-- counted as mailboxes with interactive mail alone, so that a reminder of next week, or one that is tried again later, kept a
-- mailbox's bulk mail from all turns.
CREATE INDEX mailboxes_both ON mailboxes (wake_tenant, wake_at) WHERE urgent_at > wake_at;

-- The mailboxes of a kind that are due, locked, of the tenants whose turn is next: those after `p_after`, then those from
-- the first on. Of each the four that are longest due, for bulk also up to four of both kinds, and about `p_most` in all.
-- `p_until` is the last tenant looked at; null: all were. No more than 64 tenants are looked at in a row, and no more than 16
-- of a tenant's mailboxes of both kinds: where the interactive mail of those is due, it goes first.
CREATE OR REPLACE FUNCTION emailmcp.due_by_turn(
  p_bulk boolean, p_after text, p_most integer, p_moment timestamptz, p_known text[], OUT boxes text[], OUT p_until text)
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  boxes := '{}';
  p_until := p_after;
  FOR lap IN 1..2 LOOP
    WITH RECURSIVE tenants AS (
      SELECT p_until COLLATE "C" AS tenant, 0 AS place
      UNION ALL
      SELECT least(
          (SELECT m.wake_tenant FROM mailboxes m
            WHERE m.wake_at IS NOT NULL AND (m.urgent_at IS NULL) = p_bulk AND m.wake_tenant > t.tenant
            ORDER BY m.wake_tenant LIMIT 1),
          (SELECT m.wake_tenant FROM mailboxes m
            WHERE p_bulk AND m.urgent_at > m.wake_at AND m.wake_tenant > t.tenant
            ORDER BY m.wake_tenant LIMIT 1)), t.place + 1
      FROM tenants t WHERE t.tenant IS NOT NULL AND t.place < 64
    ), due AS MATERIALIZED (
      SELECT t.tenant, b.google_sub FROM tenants t CROSS JOIN LATERAL (
        SELECT * FROM (
          SELECT m.google_sub FROM mailboxes m
          WHERE m.wake_at IS NOT NULL AND (m.urgent_at IS NULL) = p_bulk AND m.wake_tenant = t.tenant
            AND coalesce(m.urgent_at, m.wake_at) <= p_moment AND m.next_free_at <= p_moment
            AND m.in_flight_until <= p_moment AND NOT m.google_sub = ANY (p_known || boxes)
          ORDER BY coalesce(m.urgent_at, m.wake_at) LIMIT 4 FOR UPDATE SKIP LOCKED) AS one
        UNION ALL
        SELECT * FROM (
          SELECT m.google_sub FROM (
            SELECT f.google_sub FROM mailboxes f
            WHERE p_bulk AND f.urgent_at > f.wake_at AND f.wake_tenant = t.tenant AND f.wake_at <= p_moment
            ORDER BY f.wake_at LIMIT 16) AS first JOIN mailboxes m ON m.google_sub = first.google_sub
          WHERE m.urgent_at > p_moment AND m.wake_at <= p_moment AND m.next_free_at <= p_moment
            AND m.in_flight_until <= p_moment AND NOT m.google_sub = ANY (p_known || boxes)
          LIMIT 4 FOR UPDATE OF m SKIP LOCKED) AS both_kinds) AS b
      WHERE t.place > 0
      LIMIT p_most
    )
    SELECT boxes || coalesce(array_agg(google_sub), '{}'),
      CASE WHEN count(*) = p_most THEN max(tenant)
        WHEN (SELECT count(tenant) FROM tenants) = 65 THEN (SELECT max(tenant) FROM tenants) ELSE '' END
      INTO boxes, p_until FROM due;
    IF p_until = '' AND p_after = '' OR lap = 2 AND (p_until = '' OR p_until >= p_after COLLATE "C") THEN
      p_until := NULL;
    END IF;
    EXIT WHEN p_until IS DISTINCT FROM '';
  END LOOP;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
