-- Statistics could make a claim read the whole queue: with next to none of a table that has pages (gathered as it was being
-- filled, or when it had just been emptied) all of an index costs what one probe does, and of two indexes that begin with the
-- same column either may serve. Now no other plan is there than the probes that are meant. Of a whole key that comes from
-- another row the first column is asked for by `= ANY (ARRAY[…])`: a plain equality could be merged, and so offers all of the
-- index in its order. Each index that is probed begins with what no other does, be it by a collation or a spelling of its own.

DROP INDEX send_jobs_urgent;
DROP INDEX send_jobs_put_off;
CREATE INDEX send_jobs_urgent ON send_jobs (mailbox COLLATE "POSIX", run_at) WHERE class IN (0, 2) AND lease_until IS NULL;
CREATE INDEX send_jobs_put_off ON send_jobs (mailbox COLLATE "POSIX", put_off_at) WHERE put_off_at IS NOT NULL;

-- A line for each kind of mail. A mailbox had its place in the line of bulk mail only while it had no interactive mail: a
-- reminder of next week, or one that is tried again later, kept its bulk mail from all turns. Now it has one for as long as
-- its bulk mail comes first.
DROP INDEX mailboxes_turn;
CREATE INDEX mailboxes_urgent_turn ON mailboxes (wake_tenant, urgent_at) WHERE urgent_at IS NOT NULL;
CREATE INDEX mailboxes_bulk_turn ON mailboxes (wake_tenant, (least(wake_at, urgent_at)))
  WHERE wake_at IS NOT NULL AND (urgent_at IS NULL OR urgent_at > wake_at);

-- Has the transaction's statements planned once a connection with every row found by an index, whatever the statistics
-- say: a queue grows from nothing to a million faster than they are gathered.
CREATE OR REPLACE FUNCTION emailmcp.plan_by_index() RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_material', 'off', true), set_config('enable_memoize', 'off', true),
    set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true);
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
    set_config('enable_memoize', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('jit', 'off', true);
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
         WHERE m.wake_at IS NOT NULL AND (m.urgent_at IS NULL OR m.urgent_at > m.wake_at) AND m.wake_tenant > p_until
         ORDER BY m.wake_tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT m.wake_tenant FROM mailboxes m
          WHERE m.wake_at IS NOT NULL AND (m.urgent_at IS NULL OR m.urgent_at > m.wake_at) AND m.wake_tenant > t.tenant
          ORDER BY m.wake_tenant LIMIT 1), t.place + 1
        FROM tenants t WHERE t.tenant IS NOT NULL AND t.place < 64
      ), due AS MATERIALIZED (
        SELECT t.tenant, b.google_sub FROM tenants t CROSS JOIN LATERAL (
          -- Whose interactive mail is due has its turn by that: of those no more than 64 are passed by, and none is locked.
          SELECT m.google_sub FROM (
            SELECT f.ctid AS row FROM mailboxes f
            WHERE f.wake_at IS NOT NULL AND (f.urgent_at IS NULL OR f.urgent_at > f.wake_at)
              AND f.wake_tenant = t.tenant AND least(f.wake_at, f.urgent_at) <= p_moment
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

-- When a mailbox next has something to do, and for which tenant, by what its queue holds now. Scope queue: its jobs may be
-- two tenants'; whose interactive mail is due goes first, and has his tenant's turn.
CREATE OR REPLACE FUNCTION emailmcp.next_turn(
  p_google_sub text, p_not_before timestamptz, OUT wake timestamptz, OUT urgent timestamptz, OUT tenant text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  urgent_tenant text;
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  SELECT greatest(s.run_at, p_not_before), s.tenant_id INTO wake, tenant FROM send_jobs s
    WHERE s.mailbox = p_google_sub COLLATE "C" ORDER BY s.run_at LIMIT 1;
  SELECT greatest(s.run_at, p_not_before), s.tenant_id INTO urgent, urgent_tenant FROM send_jobs s
    WHERE s.mailbox = p_google_sub COLLATE "POSIX" AND s.class IN (0, 2) AND s.lease_until IS NULL
    ORDER BY s.run_at LIMIT 1;
  IF urgent <= greatest(p_not_before, clock_timestamp()) THEN
    tenant := urgent_tenant;
  END IF;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Says that jobs of these mailboxes are due at these times. They are stored already.
CREATE OR REPLACE FUNCTION emailmcp.wake_mailboxes(p_google_subs text[], p_at timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  tenant text := current_setting('emailmcp.tenant_id', true);
BEGIN
  INSERT INTO mailboxes AS m (google_sub, wake_at, urgent_at, wake_tenant, waiting)
  SELECT w.google_sub, min(w.at), (
      SELECT s.run_at FROM send_jobs s
      WHERE s.mailbox = w.google_sub COLLATE "POSIX" AND s.class IN (0, 2) AND s.lease_until IS NULL
      ORDER BY s.run_at LIMIT 1), tenant, true
    FROM unnest(p_google_subs, p_at) AS w (google_sub, at)
    GROUP BY w.google_sub COLLATE "C", w.google_sub ORDER BY w.google_sub COLLATE "C"
  ON CONFLICT (google_sub) DO UPDATE
    SET wake_at = least(m.wake_at, greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)),
        urgent_at = CASE WHEN excluded.urgent_at IS NULL THEN m.urgent_at
          ELSE least(m.urgent_at, greatest(excluded.urgent_at, m.next_free_at, m.in_flight_until)) END,
        wake_tenant = CASE
          WHEN excluded.urgent_at <= clock_timestamp() AND (m.urgent_at IS NULL
            OR m.urgent_at > greatest(excluded.urgent_at, m.next_free_at, m.in_flight_until)) THEN excluded.wake_tenant
          WHEN m.wake_at <= greatest(excluded.wake_at, m.next_free_at, m.in_flight_until) THEN m.wake_tenant
          ELSE excluded.wake_tenant END,
        waiting = true
    WHERE NOT m.waiting OR m.wake_at IS NULL
      OR m.wake_at > greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)
      OR excluded.urgent_at IS NOT NULL AND (m.urgent_at IS NULL
        OR m.urgent_at > greatest(excluded.urgent_at, m.next_free_at, m.in_flight_until));
END $$;

-- Puts off what the day has no room for, of mailboxes that the caller has locked. Of a mailbox with room only that mail
-- waits, and with it those of the next 64 that are too large likewise, so that what fits need not wait for a look at each
-- of them.
CREATE OR REPLACE FUNCTION emailmcp.put_off(p_heads emailmcp.queue_head[], p_moment timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  this_hour timestamptz := date_bin('1 hour', p_moment, 'epoch');
BEGIN
  WITH narrow AS MATERIALIZED (
    SELECT * FROM unnest(p_heads) AS h WHERE h.place IS NULL AND h.room > 0
  ), large AS MATERIALIZED (
    SELECT n.tenant_id, n.user_id, n.id, n.google_sub, n.recipients - n.room AS missing FROM narrow n
    UNION
    SELECT q.tenant_id, q.user_id, q.id, n.google_sub, q.recipients - n.room FROM narrow n CROSS JOIN LATERAL (
      SELECT s.tenant_id, s.user_id, s.id, s.recipients FROM send_jobs s
      WHERE s.mailbox = n.google_sub AND s.lease_until IS NULL AND s.run_at <= p_moment
      ORDER BY s.run_at LIMIT 64 FOR UPDATE SKIP LOCKED) AS q
    WHERE q.recipients > n.room
  )
  UPDATE send_jobs s
    SET run_at = emailmcp.day_frees_at(l.google_sub, this_hour, l.missing),
        put_off_at = coalesce(s.put_off_at, p_moment),
        -- The one that looks whether the account is back stays the one that looks.
        parked = CASE WHEN s.parked = 'reauth_required' THEN s.parked ELSE 'daily_limit' END
    FROM large l WHERE s.tenant_id = ANY (ARRAY[l.tenant_id]) AND s.user_id = l.user_id AND s.id = l.id;
  UPDATE mailboxes m
    SET (next_free_at, wake_at, urgent_at, wake_tenant) = (
          SELECT f, t.wake, t.urgent, t.tenant FROM emailmcp.day_frees_at(h.google_sub, this_hour, 1 - h.room) AS f
          CROSS JOIN LATERAL emailmcp.next_turn(m.google_sub, f) AS t),
        paused_reason = 'daily_limit', waiting = true
    FROM unnest(p_heads) AS h WHERE m.google_sub = ANY (ARRAY[h.google_sub]) AND h.place IS NULL AND h.room <= 0;
END $$;

CREATE OR REPLACE FUNCTION emailmcp.claim_jobs(
  p_worker text, p_limit integer, p_lease interval, p_interval double precision, p_burst integer, p_day_limit integer,
  p_inline_bytes integer DEFAULT 262144, p_lapsed boolean DEFAULT true)
RETURNS TABLE (
  tenant_id text, user_id text, id uuid, created_at timestamptz, mailbox text, class smallint, run_at timestamptz,
  attempts integer, on_ambiguous text, recipients integer, epoch bigint, lease_until timestamptz, intent boolean,
  intent_at timestamptz, cancel_requested boolean, payload_bytes integer, payload bytea, failing_since timestamptz,
  ambiguous_tries integer, parked text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  this_hour timestamptz := date_bin('1 hour', moment, 'epoch');
  bulk_after text := coalesce(current_setting('emailmcp.turn', true), '');
  urgent_after text := coalesce(current_setting('emailmcp.urgent_turn', true), '');
  since_bulk bigint := coalesce(nullif(current_setting('emailmcp.since_bulk', true), ''), '0')::bigint;
  ready text[];
  others text[];
  bulk_until text;
  urgent_until text;
  heads emailmcp.queue_head[];
  idle text[];
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  IF p_limit NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'p_limit must be between 1 and 1000' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Lock the mailboxes first; their queues are looked at by the next statement's snapshot (see release_mailboxes).
  ready := emailmcp.longest_due(false, p_limit * 4, moment, '{}');
  -- Of any kind: of a mailbox whose interactive mail is not due yet the bulk mail may be.
  SELECT coalesce(array_agg(w.google_sub), '{}') INTO others FROM (
    SELECT m.google_sub FROM mailboxes m
    WHERE m.wake_at <= moment AND m.next_free_at <= moment AND m.in_flight_until <= moment
      AND NOT m.google_sub = ANY (ready)
    ORDER BY m.wake_at LIMIT p_limit FOR UPDATE SKIP LOCKED) AS w;
  ready := ready || others;
  IF cardinality(others) = p_limit THEN
    -- There are more.
    ready := ready || emailmcp.longest_due(true, p_limit, moment, ready);
    SELECT ready || t.boxes, t.p_until INTO ready, urgent_until
      FROM emailmcp.due_by_turn(false, urgent_after, p_limit * 4, moment, ready) AS t;
    SELECT ready || t.boxes, t.p_until INTO ready, bulk_until
      FROM emailmcp.due_by_turn(true, bulk_after, p_limit * 4, moment, ready) AS t;
  END IF;
  IF ready = '{}' THEN
    PERFORM set_config('emailmcp.scope', outer_scope, true);
    RETURN;
  END IF;
  PERFORM emailmcp.roll_usage(ready, this_hour);
  WITH lapsed AS MATERIALIZED (
    -- Few, and found by their leases: looked for by mailbox they would cost the mailbox's whole queue.
    SELECT s.mailbox, s.tenant_id, s.user_id, s.id FROM send_jobs s
    WHERE p_lapsed AND s.lease_until <= moment AND NOT (s.intent AND s.on_ambiguous = 'hold')
    ORDER BY s.lease_until LIMIT 2000
  ), head AS MATERIALIZED (
    SELECT r.google_sub, j.tenant_id, j.user_id, j.id, j.run_at, j.recipients, j.rank = 0 AS lapsed,
           j.class % 2 <> 0 AND j.rank > 0 AS is_bulk,
           -- When it was due, or its mailbox's last turn ended: who has just had one stands behind those who wait.
           CASE WHEN j.rank <= 1 THEN j.run_at ELSE greatest(j.run_at, m.wake_at) END AS due_at,
           -- The room is kept for a mail that has waited for it: without enough for that there is none.
           CASE WHEN j.rank = 1 AND j.recipients > d.room THEN d.room - j.recipients + 1 ELSE d.room END AS room
    FROM unnest(ready) AS r (google_sub) JOIN mailboxes m ON m.google_sub = ANY (ARRAY[r.google_sub COLLATE "C"])
    CROSS JOIN LATERAL (
      SELECT emailmcp.day_room(m.usage_before + m.usage_now, p_day_limit, m.day_limit, m.day_limit_until, moment) AS room
      OFFSET 0) AS d
    CROSS JOIN LATERAL (
      SELECT * FROM (
        SELECT * FROM (
          SELECT 0 AS rank, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM lapsed l
          JOIN send_jobs s ON s.tenant_id = ANY (ARRAY[l.tenant_id]) AND s.user_id = l.user_id AND s.id = l.id
          WHERE l.mailbox = r.google_sub COLLATE "C" AND s.lease_until <= moment
          LIMIT 1 FOR UPDATE OF s SKIP LOCKED) AS a
        UNION ALL
        SELECT * FROM (
          SELECT 1, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM send_jobs s
          WHERE s.mailbox = r.google_sub COLLATE "POSIX" AND s.put_off_at <= moment - interval '24 hours'
            AND s.lease_until IS NULL AND s.run_at < 'infinity'
          ORDER BY s.put_off_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS b
        UNION ALL
        SELECT * FROM (
          SELECT 2, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM send_jobs s
          WHERE s.mailbox = r.google_sub COLLATE "POSIX" AND s.class IN (0, 2) AND s.lease_until IS NULL
            AND s.run_at <= moment
          ORDER BY s.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS c
        UNION ALL
        SELECT * FROM (
          SELECT 3, s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients FROM send_jobs s
          WHERE s.mailbox = r.google_sub COLLATE "C" AND s.lease_until IS NULL AND s.run_at <= moment
          ORDER BY s.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS d
      ) AS any_of ORDER BY rank LIMIT 1
    ) AS j
  ), fitting AS MATERIALIZED (
    -- A tenant's first come in the first round, its seconds in the second; a round goes on where the last one ended.
    SELECT h.*, row_number() OVER (PARTITION BY h.tenant_id, h.is_bulk ORDER BY h.due_at, h.id) AS turn,
        h.tenant_id <= CASE WHEN h.is_bulk THEN bulk_after ELSE urgent_after END AS was_before
      FROM head h WHERE h.lapsed OR h.recipients <= h.room
  ), queued AS (
    SELECT f.*, row_number() OVER (PARTITION BY f.is_bulk ORDER BY f.turn, f.was_before, f.tenant_id)
        AS number
      FROM fitting f
  ), placed AS (
    SELECT q.*, row_number() OVER (
        ORDER BY CASE WHEN q.is_bulk THEN q.number * 8 ELSE q.number + since_bulk END, q.is_bulk) AS place
      FROM queued q
  )
  SELECT array_agg(ROW(a.google_sub, a.tenant_id, a.user_id, a.id, a.recipients, a.room, a.lapsed, a.is_bulk, a.turn,
      a.place)::emailmcp.queue_head)
    INTO heads
    FROM (
      SELECT google_sub, tenant_id, user_id, id, recipients, room, lapsed, is_bulk, turn, place FROM placed
      UNION ALL
      SELECT google_sub, tenant_id, user_id, id, recipients, room, lapsed, is_bulk, NULL, NULL FROM head
        WHERE NOT lapsed AND recipients > room) AS a;
  RETURN QUERY
  WITH chosen AS MATERIALIZED (
    SELECT * FROM unnest(heads) AS h WHERE h.place <= p_limit
  ), busy AS (
    UPDATE mailboxes m
      SET in_flight_job = c.id, in_flight_until = moment + p_lease, wake_at = moment + p_lease, urgent_at = NULL,
          paused_reason = NULL, waiting = true,
          (credit, next_free_at, pace_until) = (
            SELECT t.credit, t.next_free_at, t.pace_until FROM emailmcp.paced_turn(
              m.pace_until, m.credit, m.share, m.share_at, moment, p_interval, p_burst) AS t),
          usage_hour = this_hour, usage_now = m.usage_now + CASE WHEN c.lapsed THEN 0 ELSE c.recipients END
      FROM chosen c WHERE m.google_sub = ANY (ARRAY[c.google_sub])
  )
  UPDATE send_jobs s
    SET epoch = s.epoch + 1, lease_owner = p_worker, lease_until = moment + p_lease, put_off_at = NULL,
        attempts = s.attempts + s.intent::integer, ambiguous_tries = s.ambiguous_tries + s.intent::integer
    FROM chosen c WHERE s.tenant_id = ANY (ARRAY[c.tenant_id]) AND s.user_id = c.user_id AND s.id = c.id
  RETURNING s.tenant_id, s.user_id, s.id, s.created_at, s.mailbox, s.class, s.run_at, s.attempts, s.on_ambiguous,
    s.recipients, s.epoch, s.lease_until, s.intent, s.intent_at, s.cancel_requested, octet_length(s.payload),
    CASE WHEN octet_length(s.payload) <= p_inline_bytes THEN s.payload END,
    CASE WHEN s.run_at > moment - interval '1 hour' THEN s.failing_since END, s.ambiguous_tries, s.parked;
  IF EXISTS (SELECT FROM unnest(heads) AS h WHERE h.place IS NULL) THEN
    PERFORM emailmcp.put_off(heads, moment);
  END IF;
  -- Those with nothing due, and those whose first mail was put off: their next one may be due now.
  SELECT coalesce(array_agg(i.google_sub), '{}') INTO idle FROM (
    SELECT r.google_sub FROM unnest(ready) AS r (google_sub)
    EXCEPT
    SELECT h.google_sub FROM unnest(heads) AS h WHERE h.place IS NOT NULL OR h.room <= 0) AS i;
  IF idle <> '{}' THEN
    UPDATE mailboxes m
      SET (wake_at, urgent_at, wake_tenant, waiting) = (
        SELECT t.wake, t.urgent, t.tenant, t.wake IS NOT NULL FROM emailmcp.next_turn(m.google_sub, m.next_free_at) AS t)
      WHERE m.google_sub = ANY (idle);
  END IF;
  SELECT least(8, CASE WHEN count(*) FILTER (WHERE h.is_bulk) > 0
      THEN count(*) FILTER (WHERE NOT h.is_bulk AND h.place > (
        SELECT max(b.place) FROM unnest(heads) AS b WHERE b.is_bulk AND b.place <= p_limit))
      ELSE since_bulk + count(*) END)
    INTO since_bulk FROM unnest(heads) AS h WHERE h.place <= p_limit;
  PERFORM set_config('emailmcp.since_bulk', since_bulk::text, false),
    set_config('emailmcp.turn', emailmcp.turns_after(heads, true, p_limit, bulk_after, bulk_until), false),
    set_config('emailmcp.urgent_turn', emailmcp.turns_after(heads, false, p_limit, urgent_after, urgent_until), false),
    set_config('emailmcp.scope', outer_scope, true);
END $$;

CREATE OR REPLACE FUNCTION emailmcp.claim_lost(p_worker text, p_limit integer, p_lease interval)
RETURNS TABLE (
  tenant_id text, user_id text, id uuid, mailbox text, attempts integer, on_ambiguous text, epoch bigint,
  intent boolean, failing_since timestamptz, ambiguous_tries integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  RETURN QUERY
  WITH lost AS MATERIALIZED (
    SELECT s.tenant_id, s.user_id, s.id FROM send_jobs s
    WHERE s.lease_until <= moment AND s.intent AND s.on_ambiguous = 'hold'
    ORDER BY s.lease_until LIMIT p_limit FOR UPDATE SKIP LOCKED
  )
  UPDATE send_jobs s
    SET epoch = s.epoch + 1, lease_owner = p_worker, lease_until = moment + p_lease, attempts = s.attempts + 1,
        ambiguous_tries = s.ambiguous_tries + 1
    FROM lost l WHERE s.tenant_id = ANY (ARRAY[l.tenant_id]) AND s.user_id = l.user_id AND s.id = l.id
  RETURNING s.tenant_id, s.user_id, s.id, s.mailbox, s.attempts, s.on_ambiguous, s.epoch, s.intent, s.failing_since,
    s.ambiguous_tries;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Wakes the mailboxes whose worker has let a lease lapse, before all bulk mail; answers how many. A worker runs this once
-- a second, and leaves to the next time what another transaction holds, and to claim_lost what that takes.
CREATE OR REPLACE FUNCTION emailmcp.wake_lapsed() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  woken bigint;
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  WITH lapsed AS MATERIALIZED (
    SELECT f.mailbox, min(f.tenant_id) AS tenant_id FROM (
      SELECT s.mailbox, s.tenant_id FROM send_jobs s
      WHERE s.lease_until <= moment AND NOT (s.intent AND s.on_ambiguous = 'hold')
      ORDER BY s.lease_until LIMIT 10000) AS f
    GROUP BY f.mailbox
  ), free AS MATERIALIZED (
    SELECT m.google_sub, l.tenant_id FROM mailboxes m JOIN lapsed l ON m.google_sub = ANY (ARRAY[l.mailbox])
    WHERE m.in_flight_until <= moment AND (m.urgent_at IS NULL OR m.urgent_at > moment)
    FOR NO KEY UPDATE OF m SKIP LOCKED
  )
  UPDATE mailboxes m SET wake_at = least(m.wake_at, moment), urgent_at = moment, wake_tenant = free.tenant_id, waiting = true
    FROM free WHERE m.google_sub = ANY (ARRAY[free.google_sub]);
  GET DIAGNOSTICS woken = ROW_COUNT;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN woken;
END $$;

-- Repairs `wake_at`, `urgent_at` and `wake_tenant` from the queue itself. The functions above keep them right; a worker
-- runs this once a minute so that no mistake can strand a mail. A place in the line it leaves as it is, to claim_lost
-- what that takes, and for the next time what another transaction holds.
CREATE OR REPLACE FUNCTION emailmcp.repair_wakes() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  repaired bigint;
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  WITH wrong AS MATERIALIZED (
    SELECT s.mailbox, min(s.run_at) AS wake, min(s.run_at) FILTER (WHERE s.class IN (0, 2)) AS urgent,
        (array_agg(s.tenant_id ORDER BY s.run_at))[1] AS tenant, bool_or(b.google_sub IS NULL) AS is_missing
      FROM send_jobs s LEFT JOIN mailboxes b ON b.google_sub = ANY (ARRAY[s.mailbox])
      WHERE (s.lease_until IS NULL OR s.lease_until < now() AND NOT (s.intent AND s.on_ambiguous = 'hold'))
        AND (b.google_sub IS NULL OR b.wake_at IS NULL OR b.wake_tenant IS NULL
          OR b.wake_at > greatest(s.run_at, b.next_free_at, b.in_flight_until, now())
          OR s.class IN (0, 2) AND (b.urgent_at IS NULL
            OR b.urgent_at > greatest(s.run_at, b.next_free_at, b.in_flight_until, now())))
      GROUP BY s.mailbox
  ), free AS MATERIALIZED (
    SELECT m.google_sub, w.wake, w.urgent, w.tenant FROM mailboxes m JOIN wrong w ON m.google_sub = ANY (ARRAY[w.mailbox])
    FOR NO KEY UPDATE OF m SKIP LOCKED
  ), righted AS (
    UPDATE mailboxes m
      SET wake_at = least(m.wake_at, greatest(f.wake, m.next_free_at, m.in_flight_until)),
          urgent_at = CASE WHEN f.urgent IS NULL THEN m.urgent_at
            ELSE least(m.urgent_at, greatest(f.urgent, m.next_free_at, m.in_flight_until)) END,
          wake_tenant = coalesce(m.wake_tenant, f.tenant), waiting = true
      FROM free f WHERE m.google_sub = ANY (ARRAY[f.google_sub])
    RETURNING 1
  ), made AS (
    INSERT INTO mailboxes (google_sub, wake_at, urgent_at, wake_tenant, waiting)
    SELECT w.mailbox, w.wake, w.urgent, w.tenant, true FROM wrong w WHERE w.is_missing ORDER BY w.mailbox
    ON CONFLICT (google_sub) DO NOTHING
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM righted) + (SELECT count(*) FROM made) INTO repaired;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN repaired;
END $$;

-- Locks what a batch of several tenants will touch, before the first of them does: its jobs by their keys, then its
-- mailboxes by google_sub. Scope queue: it names jobs and mailboxes of all of them, and answers nothing.
CREATE OR REPLACE FUNCTION emailmcp.lock_batch(p_tenant_ids text[], p_user_ids text[], p_ids uuid[], p_google_subs text[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM emailmcp.plan_by_index();
  PERFORM set_config('emailmcp.scope', 'queue', true);
  PERFORM FROM send_jobs s
    JOIN unnest(p_tenant_ids, p_user_ids, p_ids) AS b (tenant_id, user_id, id)
      ON s.tenant_id = ANY (ARRAY[b.tenant_id COLLATE "C"]) AND s.user_id = b.user_id COLLATE "C" AND s.id = b.id
    ORDER BY s.tenant_id, s.user_id, s.id FOR UPDATE OF s;
  PERFORM emailmcp.lock_mailboxes(p_google_subs);
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Records that the first bytes of these mails are about to leave; answers with those whose lease is still the caller's.
-- It locks jobs alone. It also freed other mail of users whose account was back, one after another, and so held one mailbox
-- while it waited for the next: it and a batch of those mailboxes could wait for each other. Who has a token frees them now
-- (unpark_jobs), in a transaction of its own.
-- Asked again under the same lease, because the answer was lost, it answers the same and tells the log nothing new.
CREATE OR REPLACE FUNCTION emailmcp.record_intents(
  p_tenant_id text, p_timeline jsonb, p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_epochs bigint[])
RETURNS uuid[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  mine uuid[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  WITH meant AS (
    UPDATE send_jobs s SET intent = true, intent_at = moment
      FROM (SELECT p_tenant_id AS tenant_id, * FROM unnest(p_user_ids, p_ids, p_created_ats, p_epochs)
        AS u (user_id, id, created_at, epoch) ORDER BY user_id COLLATE "C", id OFFSET 0) AS m
      WHERE s.tenant_id = ANY (ARRAY[m.tenant_id COLLATE "C"]) AND s.user_id = m.user_id COLLATE "C" AND s.id = m.id
        AND s.epoch = m.epoch AND s.lease_until > moment
      RETURNING s.tenant_id, s.user_id, s.id, m.created_at
  ), logged AS (
    UPDATE email_logs l
      SET status = 'sending', error_code = NULL, error_message = NULL, timeline = l.timeline || p_timeline
      FROM meant m
      WHERE l.tenant_id = ANY (ARRAY[m.tenant_id]) AND l.user_id = m.user_id AND l.created_at = m.created_at
        AND l.id = m.id AND l.status <> 'sending'
  )
  SELECT coalesce(array_agg(id), '{}') INTO mine FROM meant;
  RETURN mine;
END $$;

-- Records final statuses with all that is counted under them, and ends the jobs; answers with those whose lease was
-- still the caller's. `p_addresses`: to be counted, lower-cased, each once a mail, for successes only; the number beside
-- it is the mail's place.
CREATE OR REPLACE FUNCTION emailmcp.record_outcomes(
  p_tenant_id text, p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_epochs bigint[], p_google_subs text[], p_statuses text[], p_message_ids text[],
  p_thread_ids text[], p_error_codes text[], p_error_messages text[], p_sent_ats timestamptz[], p_attempts integer[],
  p_timelines jsonb[], p_address_places integer[], p_addresses text[])
RETURNS uuid[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  mine uuid[];
  boxes text[];
  refunds integer[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  WITH done AS MATERIALIZED (
    SELECT p_tenant_id AS tenant_id, m.*, date_bin('15 minutes', m.sent_at, 'epoch') AS quarter FROM unnest(
        p_user_ids, p_ids, p_created_ats, p_epochs, p_google_subs, p_statuses, p_message_ids, p_thread_ids,
        p_error_codes, p_error_messages, p_sent_ats, p_attempts, p_timelines) WITH ORDINALITY
      AS m (user_id, id, created_at, epoch, google_sub, status, message_id, thread_id, error_code, error_message, sent_at,
        attempts, timeline, ord)
  ), ended AS (
    DELETE FROM send_jobs s USING done d
      WHERE s.tenant_id = ANY (ARRAY[d.tenant_id COLLATE "C"]) AND s.user_id = d.user_id COLLATE "C" AND s.id = d.id
        AND s.epoch = d.epoch
      RETURNING d.*, s.recipients
  ), logged AS (
    UPDATE email_logs l
      SET status = d.status, message_id = d.message_id, thread_id = coalesce(d.thread_id, l.thread_id),
          error_code = d.error_code, error_message = d.error_message, sent_at = d.sent_at, attempts = d.attempts,
          timeline = l.timeline || d.timeline
      FROM ended d
      WHERE l.tenant_id = ANY (ARRAY[d.tenant_id COLLATE "C"]) AND l.user_id = d.user_id COLLATE "C"
        AND l.created_at = d.created_at AND l.id = d.id
  ), counted AS (
    INSERT INTO email_stats_15m AS s (tenant_id, user_id, bucket, success, failed, unknown)
    SELECT p_tenant_id, user_id, quarter, count(*) FILTER (WHERE status = 'success'),
      count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unknown')
    FROM ended GROUP BY user_id, quarter ORDER BY user_id COLLATE "C", quarter
    ON CONFLICT (tenant_id, user_id, bucket) DO UPDATE
      SET success = s.success + excluded.success, failed = s.failed + excluded.failed,
          unknown = s.unknown + excluded.unknown
  ), totalled AS (
    INSERT INTO platform_total_deltas (tenant_id, bucket, success, failed, unknown)
    SELECT p_tenant_id, quarter, count(*) FILTER (WHERE status = 'success'),
      count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unknown')
    FROM ended GROUP BY quarter
  ), reached AS (
    INSERT INTO email_recipients_day AS r (tenant_id, user_id, day, email, success)
    SELECT p_tenant_id, e.user_id, (e.sent_at AT TIME ZONE 'UTC')::date, a.email, count(*)
    FROM unnest(p_address_places, p_addresses) AS a (place, email) JOIN ended e ON e.ord = a.place
    WHERE e.status = 'success'
    GROUP BY 2, 3, 4 ORDER BY e.user_id COLLATE "C", 3, a.email COLLATE "C"
    ON CONFLICT (tenant_id, user_id, day, email) DO UPDATE SET success = r.success + excluded.success
  ), used AS (
    -- "Last used" to the minute: a busy account's row is not written for each mail.
    UPDATE user_email_accounts a SET last_used_at = e.sent_at
      FROM (SELECT tenant_id, user_id, max(sent_at) AS sent_at FROM ended WHERE status = 'success' GROUP BY 1, 2) AS e
      WHERE a.tenant_id = ANY (ARRAY[e.tenant_id COLLATE "C"]) AND a.user_id = e.user_id COLLATE "C" AND a.provider = 'gmail_api'
        AND (a.last_used_at IS NULL OR a.last_used_at < e.sent_at - interval '1 minute')
  )
  SELECT array_agg(id), array_agg(google_sub), array_agg(CASE WHEN status = 'failed' THEN recipients ELSE 0 END)
    INTO mine, boxes, refunds FROM ended;
  IF mine IS NULL THEN
    RETURN '{}';
  END IF;
  PERFORM emailmcp.release_mailboxes(
    boxes, mine, array_fill('-infinity'::timestamptz, ARRAY[cardinality(mine)]),
    array_fill(NULL::text, ARRAY[cardinality(mine)]), refunds);
  RETURN mine;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
