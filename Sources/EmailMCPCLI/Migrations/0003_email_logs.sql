-- The log of every message, for ever, partitioned by month.
--
-- `id` is a UUIDv7 whose 48-bit millisecond *is* `created_at`: whoever has the id knows the partition. So always give
-- both: WHERE tenant_id = … AND user_id = … AND created_at = … AND id = …
-- The primary key read backwards is the keyset index (tenant_id, user_id, created_at DESC, id DESC).
-- Bodies and attachments are never here.

CREATE TABLE email_logs (
  tenant_id     text COLLATE "C" NOT NULL,
  user_id       text COLLATE "C" NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 255),
  created_at    timestamptz NOT NULL,
  id            uuid NOT NULL,
  from_email    text NOT NULL,
  to_emails     jsonb NOT NULL DEFAULT '[]',                -- arrays of addresses, as given
  cc_emails     jsonb NOT NULL DEFAULT '[]',
  bcc_emails    jsonb NOT NULL DEFAULT '[]',
  subject       text NOT NULL DEFAULT '',
  provider      text NOT NULL DEFAULT 'gmail_api',
  status        text NOT NULL
    CHECK (status IN ('queued', 'scheduled', 'sending', 'success', 'failed', 'unknown', 'cancelled')),
  message_id    text,                                       -- Gmail's
  thread_id     text,                                       -- Gmail's
  error_code    text,
  error_message text,
  attempts      integer NOT NULL DEFAULT 0,
  send_at       timestamptz,                                -- when asked for
  sent_at       timestamptz,                                -- when the outcome was known; counted there
  credential_id text,
  metadata      jsonb NOT NULL DEFAULT '{}',
  timeline      jsonb NOT NULL DEFAULT '[]',                -- [{"at","event","detail"?}], appended: timeline || $1
  PRIMARY KEY (tenant_id, user_id, created_at, id),
  CHECK ((status IN ('success', 'failed', 'unknown')) = (sent_at IS NOT NULL))
) PARTITION BY RANGE (created_at);

-- Exact report bounds: the raw outcomes between a bound and the next quarter of an hour.
CREATE INDEX email_logs_sent ON email_logs (tenant_id, user_id, sent_at) WHERE sent_at IS NOT NULL;
-- "Pending now".
CREATE INDEX email_logs_pending ON email_logs (tenant_id, user_id, created_at)
  WHERE status IN ('queued', 'scheduled', 'sending');

ALTER TABLE email_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE email_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON email_logs
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
GRANT SELECT, INSERT, UPDATE ON email_logs TO emailmcp_service;

-- A partition is reached through its parent, whose policy decides; asked by its own name it shows nothing to anyone
-- (no grant, and forced row-level security without a policy for tenants).
CREATE TABLE email_logs_default PARTITION OF email_logs DEFAULT;
ALTER TABLE email_logs_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE email_logs_default FORCE ROW LEVEL SECURITY;
CREATE POLICY partition ON email_logs_default TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'partition');

-- Makes the partition of every month from `p_from`'s to `p_months` later that is missing; answers how many it made.
-- Call it at start and daily: a row of a month without a partition goes to the default one, and is moved from there.
CREATE FUNCTION emailmcp.ensure_email_log_partitions(p_from date DEFAULT current_date, p_months integer DEFAULT 2)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  made integer := 0;
  low timestamptz;
  high timestamptz;
  part text;
BEGIN
  PERFORM set_config('emailmcp.scope', 'partition', true);
  IF p_months NOT BETWEEN 0 AND 36 THEN
    RAISE EXCEPTION 'p_months must be between 0 and 36' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('emailmcp.ensure_email_log_partitions', 0));
  FOR step IN 0..p_months LOOP
    low := date_trunc('month', p_from::timestamptz) + make_interval(months => step);
    high := low + interval '1 month';
    part := 'email_logs_' || to_char(low, 'YYYY_MM');
    CONTINUE WHEN to_regclass('public.' || part) IS NOT NULL;
    LOCK TABLE email_logs_default IN SHARE ROW EXCLUSIVE MODE;  -- no row may slip in between the move and the attach
    EXECUTE format('CREATE TABLE %I (LIKE email_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format(
      'WITH moved AS (DELETE FROM email_logs_default WHERE created_at >= %L AND created_at < %L RETURNING *)
       INSERT INTO %I SELECT * FROM moved', low, high, part);
    EXECUTE format('ALTER TABLE email_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, low, high);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part);
    made := made + 1;
  END LOOP;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN made;
END $$;

SELECT emailmcp.ensure_email_log_partitions();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
