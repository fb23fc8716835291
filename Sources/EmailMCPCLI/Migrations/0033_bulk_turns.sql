-- With many mailboxes due, a look for a tenant's bulk mail read all of them by mailboxes_wake and sorted them, as a plan that
-- seems cheap when few rows are expected. The line of bulk mail says "has a place in it" in a form from which no other index
-- follows, so that none but its own can serve.

DROP INDEX mailboxes_bulk_turn;
CREATE INDEX mailboxes_bulk_turn ON mailboxes (wake_tenant, (least(wake_at, urgent_at)))
  WHERE coalesce(urgent_at > wake_at, wake_at IS NOT NULL);

-- The settings of its plans are those of plan_by_index.
CREATE OR REPLACE FUNCTION emailmcp.begin_batch(p_tenant_id text) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true), emailmcp.plan_by_index();
  PERFORM FROM webhook_endpoints e WHERE e.tenant_id = p_tenant_id COLLATE "C" AND e.removed_at IS NULL
    ORDER BY e.tenant_id, e.id LIMIT 1;
  PERFORM set_config('emailmcp.untold', CASE WHEN FOUND THEN '' ELSE p_tenant_id END, true);
END $$;

-- The mailboxes of a kind that are due, locked, of the tenants whose turn is next: those after `p_after`, then those from
-- the first on. Of each the four that are longest due, and about `p_most` in all. `p_until` is the last tenant looked at;
-- null: all were. No more than 64 tenants are looked at in a row.
CREATE OR REPLACE FUNCTION emailmcp.due_by_turn(
  p_bulk boolean, p_after text, p_most integer, p_moment timestamptz, p_known text[], OUT boxes text[], OUT p_until text)
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  boxes := '{}';
  p_until := p_after;
  FOR lap IN 1..2 LOOP
    IF p_bulk THEN
      WITH RECURSIVE tenants AS (
        (SELECT m.wake_tenant AS tenant, 1 AS place FROM mailboxes m
         WHERE coalesce(m.urgent_at > m.wake_at, m.wake_at IS NOT NULL) AND m.wake_tenant > p_until
         ORDER BY m.wake_tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT m.wake_tenant FROM mailboxes m
          WHERE coalesce(m.urgent_at > m.wake_at, m.wake_at IS NOT NULL) AND m.wake_tenant > t.tenant
          ORDER BY m.wake_tenant LIMIT 1), t.place + 1
        FROM tenants t WHERE t.tenant IS NOT NULL AND t.place < 64
      ), due AS MATERIALIZED (
        SELECT t.tenant, b.google_sub FROM tenants t CROSS JOIN LATERAL (
          -- Whose interactive mail is due has its turn by that: of those no more than 64 are passed by, and none is locked.
          SELECT m.google_sub FROM (
            SELECT f.ctid AS row FROM mailboxes f
            WHERE coalesce(f.urgent_at > f.wake_at, f.wake_at IS NOT NULL) AND f.wake_tenant = t.tenant
              AND least(f.wake_at, f.urgent_at) <= p_moment
              AND f.next_free_at <= p_moment AND f.in_flight_until <= p_moment
              AND NOT f.google_sub = ANY (p_known || boxes)
            ORDER BY least(f.wake_at, f.urgent_at) LIMIT 64) AS first JOIN mailboxes m ON m.ctid = first.row
          WHERE coalesce(m.urgent_at, 'infinity') > p_moment AND m.next_free_at <= p_moment
            AND m.in_flight_until <= p_moment
          LIMIT 4 FOR UPDATE OF m SKIP LOCKED) AS b
        LIMIT p_most
      )
      SELECT boxes || coalesce(array_agg(google_sub), '{}'),
        CASE WHEN count(*) = p_most THEN max(tenant)
          WHEN (SELECT count(tenant) FROM tenants) = 64 THEN (SELECT max(tenant) FROM tenants) ELSE '' END
        INTO boxes, p_until FROM due;
    ELSE
      WITH RECURSIVE tenants AS (
        (SELECT m.wake_tenant AS tenant, 1 AS place FROM mailboxes m
         WHERE m.urgent_at IS NOT NULL AND m.wake_tenant > p_until ORDER BY m.wake_tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT m.wake_tenant FROM mailboxes m
          WHERE m.urgent_at IS NOT NULL AND m.wake_tenant > t.tenant ORDER BY m.wake_tenant LIMIT 1), t.place + 1
        FROM tenants t WHERE t.tenant IS NOT NULL AND t.place < 64
      ), due AS MATERIALIZED (
        SELECT t.tenant, b.google_sub FROM tenants t CROSS JOIN LATERAL (
          SELECT m.google_sub FROM mailboxes m
          WHERE m.urgent_at IS NOT NULL AND m.wake_tenant = t.tenant AND m.urgent_at <= p_moment
            AND m.next_free_at <= p_moment AND m.in_flight_until <= p_moment AND NOT m.google_sub = ANY (p_known || boxes)
          ORDER BY m.urgent_at LIMIT 4 FOR UPDATE SKIP LOCKED) AS b
        LIMIT p_most
      )
      SELECT boxes || coalesce(array_agg(google_sub), '{}'),
        CASE WHEN count(*) = p_most THEN max(tenant)
          WHEN (SELECT count(tenant) FROM tenants) = 64 THEN (SELECT max(tenant) FROM tenants) ELSE '' END
        INTO boxes, p_until FROM due;
    END IF;
    IF p_until = '' AND p_after = '' OR lap = 2 AND (p_until = '' OR p_until >= p_after COLLATE "C") THEN
      p_until := NULL;
    END IF;
    EXIT WHEN p_until IS DISTINCT FROM '';
  END LOOP;
END $$;
