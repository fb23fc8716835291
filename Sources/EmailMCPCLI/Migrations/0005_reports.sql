-- Roll-ups, written in the same transaction as the outcome that they count, so that a report never scans the log.
-- The outcome's time (`sent_at`) is what a message counts under.

-- 15 minutes is the largest bucket from which every IANA zone's days add up exactly.
CREATE TABLE email_stats_15m (
  tenant_id text COLLATE "C" NOT NULL,
  user_id   text COLLATE "C" NOT NULL,
  bucket    timestamptz NOT NULL CHECK (extract(epoch FROM bucket)::bigint % 900 = 0),
  success   bigint NOT NULL DEFAULT 0,
  failed    bigint NOT NULL DEFAULT 0,
  unknown   bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, user_id, bucket)
) WITH (fillfactor = 80);
-- Active users and top senders of a tenant; no counted column in it, so that counting stays a HOT update.
CREATE INDEX email_stats_15m_bucket ON email_stats_15m (tenant_id, bucket, user_id);
ALTER TABLE email_stats_15m ENABLE ROW LEVEL SECURITY;
ALTER TABLE email_stats_15m FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON email_stats_15m
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
GRANT SELECT, INSERT, UPDATE ON email_stats_15m TO emailmcp_service;

-- Successes by recipient (to + cc + bcc, lower-cased) and UTC day.
CREATE TABLE email_recipients_day (
  tenant_id text COLLATE "C" NOT NULL,
  user_id   text COLLATE "C" NOT NULL,
  day       date NOT NULL,
  email     text COLLATE "C" NOT NULL,
  success   bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, user_id, day, email)
) WITH (fillfactor = 80);
ALTER TABLE email_recipients_day ENABLE ROW LEVEL SECURITY;
ALTER TABLE email_recipients_day FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON email_recipients_day
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
GRANT SELECT, INSERT, UPDATE ON email_recipients_day TO emailmcp_service;

-- A tenant's own totals. A single counter row would serialise all its sends, so a send appends a delta, and one worker
-- folds deltas into the totals. A reader adds both up in one statement and is exact at any time.
CREATE TABLE platform_total_deltas (
  tenant_id text COLLATE "C" NOT NULL,
  id        bigint GENERATED ALWAYS AS IDENTITY,
  bucket    timestamptz NOT NULL,
  success   bigint NOT NULL DEFAULT 0,
  failed    bigint NOT NULL DEFAULT 0,
  unknown   bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE platform_total_deltas ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform_total_deltas FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON platform_total_deltas
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY fold ON platform_total_deltas TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'fold');
GRANT SELECT, INSERT ON platform_total_deltas TO emailmcp_service;

CREATE TABLE platform_totals_15m (
  tenant_id text COLLATE "C" NOT NULL,
  bucket    timestamptz NOT NULL,
  success   bigint NOT NULL DEFAULT 0,
  failed    bigint NOT NULL DEFAULT 0,
  unknown   bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, bucket)
) WITH (fillfactor = 80);
ALTER TABLE platform_totals_15m ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform_totals_15m FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON platform_totals_15m
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY fold ON platform_totals_15m TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'fold');
GRANT SELECT ON platform_totals_15m TO emailmcp_service;

-- All of a tenant's outcomes, ever.
CREATE TABLE platform_totals (
  tenant_id text COLLATE "C" PRIMARY KEY,
  success   bigint NOT NULL DEFAULT 0,
  failed    bigint NOT NULL DEFAULT 0,
  unknown   bigint NOT NULL DEFAULT 0,
  folded_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
ALTER TABLE platform_totals ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform_totals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON platform_totals
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY fold ON platform_totals TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'fold');
GRANT SELECT ON platform_totals TO emailmcp_service;

-- Folds up to `p_limit` deltas; answers how many. 0 also when another worker is folding. Call it about once a second.
CREATE FUNCTION emailmcp.fold_totals(p_limit integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  folded bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'fold', true);
  IF NOT pg_try_advisory_xact_lock(hashtextextended('emailmcp.fold_totals', 0)) THEN
    PERFORM set_config('emailmcp.scope', outer_scope, true);
    RETURN 0;
  END IF;
  WITH taken AS (
    DELETE FROM platform_total_deltas
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM platform_total_deltas LIMIT p_limit))
    RETURNING tenant_id, bucket, success, failed, unknown
  ), by_bucket AS (
    INSERT INTO platform_totals_15m AS t (tenant_id, bucket, success, failed, unknown)
    SELECT tenant_id, bucket, sum(success), sum(failed), sum(unknown) FROM taken GROUP BY tenant_id, bucket
    ON CONFLICT (tenant_id, bucket) DO UPDATE
      SET success = t.success + excluded.success, failed = t.failed + excluded.failed,
          unknown = t.unknown + excluded.unknown
  ), ever AS (
    INSERT INTO platform_totals AS t (tenant_id, success, failed, unknown)
    SELECT tenant_id, sum(success), sum(failed), sum(unknown) FROM taken GROUP BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE
      SET success = t.success + excluded.success, failed = t.failed + excluded.failed,
          unknown = t.unknown + excluded.unknown, folded_at = now()
  )
  SELECT count(*) INTO folded FROM taken;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN folded;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
