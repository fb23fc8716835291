-- The send queue: small, hot, emptied as outcomes come.
--
-- A job is due when run_at <= now() and free when it has no lease. A lease has an epoch, one more with every lease
-- taken; every later write of the worker says `AND epoch = mine`, so a worker that slept past its lease changes nothing.
-- `intent` is committed before the first byte leaves: a lapsed lease without it may be sent again, with it the outcome
-- is unknown.
--
-- One request in flight per Google account, and its pace, are a row of `mailboxes`. `mailboxes.wake_at` says when that
-- mailbox may next have something to do; null when its queue is empty. A claim therefore costs what it claims, however
-- long other mailboxes' queues are.
--
-- Services write here through functions alone: accept_message, claim_jobs, record_intent, renew_lease, requeue_job,
-- record_outcome, cancel_message, unpark_jobs.

CREATE TABLE send_jobs (
  tenant_id     text COLLATE "C" NOT NULL,
  user_id       text COLLATE "C" NOT NULL,
  id            uuid NOT NULL,                              -- the message's id in email_logs
  created_at    timestamptz NOT NULL,                       -- the message's created_at
  mailbox       text COLLATE "C" NOT NULL,                  -- google_sub
  class         smallint NOT NULL DEFAULT 0,                -- 0 someone waits, 1 asynchronous, 2 bulk
  run_at        timestamptz NOT NULL,                       -- 'infinity' while parked
  parked        text,                                       -- why: 'reauth_required', 'daily_limit', …
  attempts      integer NOT NULL DEFAULT 0,
  on_ambiguous  text NOT NULL DEFAULT 'hold' CHECK (on_ambiguous IN ('hold', 'retry')),
  recipients    integer NOT NULL DEFAULT 1,
  epoch         bigint NOT NULL DEFAULT 0,
  lease_owner   text,
  lease_until   timestamptz,
  intent        boolean NOT NULL DEFAULT false,
  intent_at     timestamptz,
  cancel_requested boolean NOT NULL DEFAULT false,
  -- Sealed. Null while the accepting worker sends it at once under 'hold': were that worker to die, the mail's fate would
  -- be unknown and nobody would send it again.
  payload       bytea,
  PRIMARY KEY (tenant_id, user_id, id),
  CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
  CHECK (intent = (intent_at IS NOT NULL)),
  CHECK (payload IS NOT NULL OR intent)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE send_jobs ALTER COLUMN payload SET STORAGE EXTERNAL;  -- ciphertext does not compress
CREATE INDEX send_jobs_mailbox ON send_jobs (mailbox, run_at);
CREATE INDEX send_jobs_lease ON send_jobs (lease_until) WHERE lease_until IS NOT NULL;
ALTER TABLE send_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE send_jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON send_jobs
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY queue_read ON send_jobs FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'queue');
CREATE POLICY queue_lease ON send_jobs FOR UPDATE TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'queue');
GRANT SELECT, INSERT, UPDATE, DELETE ON send_jobs TO emailmcp_service;

-- One row a Google account, whoever's user it is: two tenants whose users connected the same account share its quota
-- and its single flight. It holds no tenant's data: an opaque account id and times.
CREATE TABLE mailboxes (
  google_sub      text COLLATE "C" PRIMARY KEY,
  next_free_at    timestamptz NOT NULL DEFAULT '-infinity', -- no request starts before: pace, or a pause
  pace_until      timestamptz NOT NULL DEFAULT '-infinity', -- one interval further with every request: its debt
  credit          integer NOT NULL DEFAULT 0,               -- requests that may come early, earned by rest
  in_flight_job   uuid,
  in_flight_until timestamptz NOT NULL DEFAULT '-infinity',
  wake_at         timestamptz,
  waiting         boolean NOT NULL DEFAULT false,           -- its queue may hold more than the job in flight
  paused_reason   text                                      -- why next_free_at is far away, for people
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX mailboxes_wake ON mailboxes (wake_at) WHERE wake_at IS NOT NULL;
ALTER TABLE mailboxes ENABLE ROW LEVEL SECURITY;
ALTER TABLE mailboxes FORCE ROW LEVEL SECURITY;
CREATE POLICY everyone ON mailboxes USING (true);
GRANT SELECT, INSERT, UPDATE ON mailboxes TO emailmcp_service;

-- Recipients a Google account was sent to, by hour: the sending caps run over rolling 24 hours.
CREATE TABLE mailbox_usage (
  google_sub text COLLATE "C" NOT NULL,
  hour       timestamptz NOT NULL,
  recipients integer NOT NULL DEFAULT 0,
  PRIMARY KEY (google_sub, hour)
) WITH (fillfactor = 70);
ALTER TABLE mailbox_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE mailbox_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY everyone ON mailbox_usage USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON mailbox_usage TO emailmcp_service;

CREATE TABLE idempotency_keys (
  tenant_id       text COLLATE "C" NOT NULL,
  user_id         text COLLATE "C" NOT NULL,
  route           text COLLATE "C" NOT NULL,
  key_hash        bytea NOT NULL CHECK (octet_length(key_hash) = 32),     -- SHA-256
  fingerprint     bytea NOT NULL CHECK (octet_length(fingerprint) = 32),  -- of method, path and body
  message_id      uuid,                                     -- email_logs.id: the answer can be told from it
  response_status integer,                                  -- null: still in flight
  response_body   bytea,
  created_at      timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz NOT NULL DEFAULT now() + interval '7 days',
  PRIMARY KEY (tenant_id, user_id, route, key_hash)
) WITH (fillfactor = 80);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency_keys
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY purge ON idempotency_keys TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'purge' AND expires_at < now());
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO emailmcp_service;

-- The pace of a mailbox: never more than the quota in any 60 s, all of it under steady load, a few at once after a rest.
-- Each request moves `pace_until` one interval on; who comes earlier than that spends credit, and only rest earns credit,
-- one interval's worth a request. So an early request is paid for twice, by the rest before it and by the debt after it,
-- and no window of 60 s, wherever it begins, holds more than the quota.
CREATE FUNCTION emailmcp.paced_credit(
  p_pace_until timestamptz, p_credit integer, p_moment timestamptz, p_interval double precision, p_burst integer)
RETURNS integer
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN p_pace_until > p_moment THEN p_credit - 1
    ELSE floor(least(p_burst, p_credit
      + (date_part('epoch', p_moment) - date_part('epoch', p_pace_until)) / p_interval))::integer END
$$;

-- Takes the mailbox for a job that wants to go at once; false when it is busy, paced, or older mail waits.
-- It leaves `wake_at` alone, and so does a release with an empty queue: with no indexed column changed, both are HOT
-- updates. A mail whose worker dies is found by its lease (wake_lapsed).
-- `p_interval`: seconds between two requests at full load; `p_burst`: how many may come early after a rest.
CREATE FUNCTION emailmcp.acquire_mailbox(
  p_google_sub text, p_job uuid, p_lease interval, p_interval double precision, p_burst integer)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  pace interval := p_interval * interval '1 second';
BEGIN
  INSERT INTO mailboxes AS m (google_sub, next_free_at, pace_until, credit, in_flight_job, in_flight_until)
  VALUES (
    p_google_sub, CASE WHEN p_burst > 0 THEN '-infinity' ELSE moment + pace END, moment + pace, p_burst, p_job,
    moment + p_lease)
  ON CONFLICT (google_sub) DO UPDATE
    SET credit = emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst),
        next_free_at = CASE WHEN emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst) > 0
          THEN '-infinity' ELSE greatest(m.pace_until, moment) + pace END,
        pace_until = greatest(m.pace_until, moment) + pace,
        in_flight_job = excluded.in_flight_job, in_flight_until = excluded.in_flight_until, paused_reason = NULL
    WHERE m.next_free_at <= moment AND m.in_flight_until <= moment AND (m.wake_at IS NULL OR m.wake_at > moment);
  RETURN FOUND;
END $$;

-- Says that a job of this mailbox is due at `p_at`.
CREATE FUNCTION emailmcp.wake_mailbox(p_google_sub text, p_at timestamptz) RETURNS void
LANGUAGE sql SECURITY INVOKER
AS $$
  INSERT INTO mailboxes AS m (google_sub, wake_at, waiting) VALUES (p_google_sub, p_at, true)
  ON CONFLICT (google_sub) DO UPDATE
    SET wake_at = least(m.wake_at, greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)), waiting = true
    WHERE NOT m.waiting OR m.wake_at IS NULL
      OR m.wake_at > greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)
$$;

-- When this mailbox next has something to do, by what its queue holds now. Scope queue: its jobs may be two tenants'.
CREATE FUNCTION emailmcp.next_wake(p_google_sub text, p_not_before timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  result timestamptz;
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  result := (SELECT greatest(min(run_at), p_not_before) FROM send_jobs
  WHERE mailbox = p_google_sub COLLATE "C" HAVING min(run_at) IS NOT NULL);
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN result;
END $$;

-- Gives the mailbox back after an outcome (or a refusal), with the earliest time of its next request and, when it
-- pauses for long, the reason. Does nothing when another job holds it by now. Call it after the job's own row is done.
CREATE FUNCTION emailmcp.release_mailbox(
  p_google_sub text, p_job uuid, p_next_free_at timestamptz DEFAULT '-infinity', p_paused_reason text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  more boolean;
BEGIN
  UPDATE mailboxes
    SET in_flight_job = NULL, in_flight_until = '-infinity', paused_reason = p_paused_reason,
        next_free_at = greatest(next_free_at, p_next_free_at), pace_until = greatest(pace_until, p_next_free_at),
        credit = CASE WHEN p_next_free_at > clock_timestamp() THEN 0 ELSE credit END
    WHERE google_sub = p_google_sub COLLATE "C" AND in_flight_job = p_job
    RETURNING waiting INTO more;
  -- The row is locked by now; the queue is looked at by the next statement, whose snapshot holds every job whose accept
  -- came before.
  IF more THEN
    UPDATE mailboxes
      SET (wake_at, waiting) = (SELECT w, w IS NOT NULL FROM emailmcp.next_wake(google_sub, next_free_at) AS w)
      WHERE google_sub = p_google_sub COLLATE "C";
  END IF;
END $$;

-- Leases up to `p_limit` due jobs for `p_worker`, at most one a mailbox, tenants taking turns, oldest first within one.
-- A job whose lease lapsed is claimed again with the next epoch; it comes with `intent` as the last worker left it:
-- true means that its outcome is unknown and that it must not simply be sent.
-- A payload over `p_inline_bytes` comes as null: read it by itself.
CREATE FUNCTION emailmcp.claim_jobs(
  p_worker text, p_limit integer, p_lease interval, p_interval double precision, p_burst integer,
  p_inline_bytes integer DEFAULT 262144)
RETURNS TABLE (
  tenant_id text, user_id text, id uuid, created_at timestamptz, mailbox text, class smallint, run_at timestamptz,
  attempts integer, on_ambiguous text, recipients integer, epoch bigint, lease_until timestamptz, intent boolean,
  intent_at timestamptz, cancel_requested boolean, payload_bytes integer, payload bytea)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  pace interval := p_interval * interval '1 second';
  ready text[];
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  IF p_limit NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'p_limit must be between 1 and 1000' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Lock the mailboxes first; their queues are looked at by the next statement's snapshot (see release_mailbox).
  SELECT array_agg(locked.google_sub) INTO ready
  FROM (
    SELECT m.google_sub FROM mailboxes m
    WHERE m.wake_at <= moment AND m.next_free_at <= moment AND m.in_flight_until <= moment
    ORDER BY m.wake_at LIMIT p_limit * 4
    FOR UPDATE SKIP LOCKED
  ) locked;
  IF ready IS NULL THEN
    PERFORM set_config('emailmcp.scope', outer_scope, true);
    RETURN;
  END IF;
  RETURN QUERY
  WITH head AS MATERIALIZED (
    SELECT r.google_sub, j.tenant_id, j.user_id, j.id, j.run_at,
           row_number() OVER (PARTITION BY j.tenant_id ORDER BY j.class, j.run_at, j.id) AS turn
    FROM unnest(ready) AS r (google_sub) CROSS JOIN LATERAL (
      SELECT s.tenant_id, s.user_id, s.id, s.run_at, s.class FROM send_jobs s
      WHERE s.mailbox = r.google_sub AND s.run_at <= moment AND (s.lease_until IS NULL OR s.lease_until <= moment)
      ORDER BY s.lease_until IS NULL, s.run_at, s.id LIMIT 1
      FOR UPDATE SKIP LOCKED
    ) j
  ), chosen AS MATERIALIZED (
    SELECT * FROM head ORDER BY turn, run_at, id LIMIT p_limit
  ), busy AS (
    UPDATE mailboxes m
      SET in_flight_job = c.id, in_flight_until = moment + p_lease, wake_at = moment + p_lease, paused_reason = NULL,
          credit = emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst),
          next_free_at = CASE WHEN emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst) > 0
            THEN '-infinity' ELSE greatest(m.pace_until, moment) + pace END,
          pace_until = greatest(m.pace_until, moment) + pace, waiting = true
      FROM chosen c WHERE m.google_sub = c.google_sub
  ), idle AS (
    UPDATE mailboxes m
      SET (wake_at, waiting) = (SELECT w, w IS NOT NULL FROM emailmcp.next_wake(m.google_sub, m.next_free_at) AS w)
      WHERE m.google_sub = ANY (ready) AND NOT EXISTS (SELECT FROM head h WHERE h.google_sub = m.google_sub)
  )
  UPDATE send_jobs s
    SET epoch = s.epoch + 1, lease_owner = p_worker, lease_until = moment + p_lease
    FROM chosen c WHERE s.tenant_id = c.tenant_id AND s.user_id = c.user_id AND s.id = c.id
  RETURNING s.tenant_id, s.user_id, s.id, s.created_at, s.mailbox, s.class, s.run_at, s.attempts, s.on_ambiguous,
    s.recipients, s.epoch, s.lease_until, s.intent, s.intent_at, s.cancel_requested, octet_length(s.payload),
    CASE WHEN octet_length(s.payload) <= p_inline_bytes THEN s.payload END;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Longer hold of a job and its mailbox; false when the lease is no longer the caller's.
CREATE FUNCTION emailmcp.renew_lease(
  p_tenant_id text, p_user_id text, p_job uuid, p_epoch bigint, p_lease interval)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  box text;
BEGIN
  UPDATE send_jobs SET lease_until = moment + p_lease
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_job AND epoch = p_epoch
      AND lease_until > moment
    RETURNING mailbox INTO box;
  IF box IS NULL THEN
    RETURN false;
  END IF;
  UPDATE mailboxes SET in_flight_until = moment + p_lease
    WHERE google_sub = box COLLATE "C" AND in_flight_job = p_job;
  RETURN true;
END $$;

-- Wakes the mailboxes whose worker has let a lease lapse; answers how many. A worker runs this once a second.
CREATE FUNCTION emailmcp.wake_lapsed() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  woken bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  UPDATE mailboxes m SET wake_at = moment, waiting = true
    FROM (SELECT DISTINCT mailbox FROM send_jobs WHERE lease_until <= moment LIMIT 10000) AS lapsed
    WHERE m.google_sub = lapsed.mailbox AND m.in_flight_until <= moment AND (m.wake_at IS NULL OR m.wake_at > moment);
  GET DIAGNOSTICS woken = ROW_COUNT;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN woken;
END $$;

-- Repairs `wake_at` from the queue itself. The functions above keep it right; a worker runs this once a minute so that
-- no mistake can strand a mail.
CREATE FUNCTION emailmcp.repair_wakes() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  repaired bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  INSERT INTO mailboxes AS m (google_sub, wake_at, waiting)
  SELECT s.mailbox, min(s.run_at), true FROM send_jobs s
    LEFT JOIN mailboxes b ON b.google_sub = s.mailbox
    WHERE (s.lease_until IS NULL OR s.lease_until < now())
      AND (b.google_sub IS NULL OR b.wake_at IS NULL
        OR b.wake_at > greatest(s.run_at, b.next_free_at, b.in_flight_until))
    GROUP BY s.mailbox
  ON CONFLICT (google_sub) DO UPDATE
    SET wake_at = least(m.wake_at, greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)), waiting = true
    WHERE m.wake_at IS NULL OR m.wake_at > greatest(excluded.wake_at, m.next_free_at, m.in_flight_until);
  GET DIAGNOSTICS repaired = ROW_COUNT;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN repaired;
END $$;

-- The figures that operators scale on, over all tenants. `oldest_age` is null with nothing due.
CREATE FUNCTION emailmcp.queue_figures()
RETURNS TABLE (due bigint, scheduled bigint, parked bigint, leased bigint, oldest_age_seconds double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  RETURN QUERY
  SELECT count(*) FILTER (WHERE run_at <= now() AND lease_until IS NULL),
         count(*) FILTER (WHERE run_at > now() AND run_at < 'infinity'),
         count(*) FILTER (WHERE run_at = 'infinity'),
         count(*) FILTER (WHERE lease_until IS NOT NULL),
         extract(epoch FROM now() - min(run_at) FILTER (WHERE run_at <= now() AND lease_until IS NULL))::float8
  FROM send_jobs;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
