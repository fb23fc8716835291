-- What platforms are told: an outbox row in the transaction of the change itself, so that no event is lost and none is
-- told that did not happen. Triggers write it, so that no way to change a status can forget to.

CREATE TABLE webhook_endpoints (
  tenant_id             text COLLATE "C" NOT NULL REFERENCES tenants (id),
  id                    text COLLATE "C" NOT NULL CHECK (id ~ '^we_[a-z0-9]{16,40}$'),
  url                   text NOT NULL CHECK (octet_length(url) BETWEEN 10 AND 2048),
  final_only            boolean NOT NULL DEFAULT false,     -- of a message's statuses only the last
  secret_sealed         bytea NOT NULL,
  previous_sealed       bytea,                              -- signs too until `previous_until`
  previous_until        timestamptz,
  created_at            timestamptz NOT NULL DEFAULT now(),
  disabled_at           timestamptz,                        -- it answered 410 Gone
  PRIMARY KEY (tenant_id, id)
);
ALTER TABLE webhook_endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_endpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_endpoints
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY webhook ON webhook_endpoints FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) IN ('webhook', 'purge'));
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints TO emailmcp_service;

-- One row an event and endpoint. `attempts` is the fence: it grows with every claim, and only the newest claim's result
-- counts. `next_at` is when it is due, or, while it is claimed, when its worker counts as dead.
CREATE TABLE webhook_deliveries (
  tenant_id   text COLLATE "C" NOT NULL,
  endpoint_id text COLLATE "C" NOT NULL,
  seq         bigint GENERATED ALWAYS AS IDENTITY,
  id          text COLLATE "C" NOT NULL,                    -- webhook-id: one an event, the same in every attempt
  subject     text COLLATE "C" NOT NULL,                    -- what it is about; one subject's events go in order
  type        text NOT NULL,
  payload     text NOT NULL,
  state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
  attempts    integer NOT NULL DEFAULT 0,
  next_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at     timestamptz,
  last_status integer,                                      -- HTTP's; null: no answer
  last_error  text,
  PRIMARY KEY (tenant_id, endpoint_id, seq),
  FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (tenant_id, endpoint_id, next_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_order ON webhook_deliveries (tenant_id, endpoint_id, subject, seq)
  WHERE state = 'pending';
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (done_at) WHERE state <> 'pending';
ALTER TABLE webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_deliveries
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY webhook ON webhook_deliveries TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) IN ('webhook', 'purge'));
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO emailmcp_service;

-- An endpoint more, unless the tenant has 16 (each event is written once an endpoint): then false.
CREATE FUNCTION emailmcp.add_webhook(p_tenant_id text, p_id text, p_url text, p_final_only boolean, p_secret bytea)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('emailmcp.webhooks ' || p_tenant_id, 0));
  IF (SELECT count(*) FROM webhook_endpoints WHERE tenant_id = p_tenant_id COLLATE "C") >= 16 THEN
    RETURN false;
  END IF;
  INSERT INTO webhook_endpoints (tenant_id, id, url, final_only, secret_sealed)
  VALUES (p_tenant_id, p_id, p_url, p_final_only, p_secret);
  RETURN true;
END $$;

-- Writes an event for every endpoint of the tenant that wants it.
CREATE FUNCTION emailmcp.tell_platform(
  p_tenant_id text, p_subject text, p_type text, p_is_final boolean, p_data jsonb)
RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  event_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  event text := jsonb_build_object('type', p_type,
    'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', p_data)::text;
BEGIN
  INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload)
  SELECT p_tenant_id, e.id, event_id, p_subject, p_type, event FROM webhook_endpoints e
  WHERE e.tenant_id = p_tenant_id COLLATE "C" AND e.disabled_at IS NULL AND (p_is_final OR NOT e.final_only);
END $$;

-- A tenant without an endpoint pays one probe of an index for each status; the order keeps the planner from reading
-- other tenants' rows in search of one.
CREATE FUNCTION emailmcp.tell_message_status() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM FROM webhook_endpoints e WHERE e.tenant_id = NEW.tenant_id ORDER BY e.tenant_id, e.id LIMIT 1;
  IF FOUND THEN
    PERFORM emailmcp.tell_platform(
      NEW.tenant_id, NEW.id::text, 'message.' || NEW.status,
      NEW.status IN ('success', 'failed', 'unknown', 'cancelled'),
      jsonb_build_object('id', NEW.id, 'user_id', NEW.user_id, 'status', NEW.status, 'message_id', NEW.message_id,
        'thread_id', NEW.thread_id, 'code', NEW.error_code, 'error', NEW.error_message, 'attempts', NEW.attempts,
        'sent_at', to_char(NEW.sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'metadata', NEW.metadata));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER tell_accepted AFTER INSERT ON email_logs
  FOR EACH ROW EXECUTE FUNCTION emailmcp.tell_message_status();
CREATE TRIGGER tell_changed AFTER UPDATE OF status ON email_logs
  FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION emailmcp.tell_message_status();

CREATE FUNCTION emailmcp.tell_account_status() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM emailmcp.tell_platform(
    NEW.tenant_id, 'account ' || NEW.user_id,
    'account.' || CASE NEW.status WHEN 'active' THEN 'connected' ELSE NEW.status END, true,
    jsonb_build_object('user_id', NEW.user_id, 'provider', NEW.provider, 'email_address',
      CASE WHEN NEW.status <> 'disconnected' THEN NEW.email_address END, 'status', NEW.status,
      'reauth_reason', NEW.reauth_reason));
  RETURN NULL;
END $$;
CREATE TRIGGER tell_connected AFTER INSERT ON user_email_accounts
  FOR EACH ROW EXECUTE FUNCTION emailmcp.tell_account_status();
-- A new consent over a living one is told too: it may be another address.
CREATE TRIGGER tell_changed AFTER UPDATE OF status ON user_email_accounts
  FOR EACH ROW WHEN (OLD.status <> NEW.status OR OLD.connected_at <> NEW.connected_at)
  EXECUTE FUNCTION emailmcp.tell_account_status();

-- Claims due deliveries of all tenants: up to `p_per_endpoint` of each endpoint that is not in `p_busy`, the first of
-- each subject alone, so that one subject's events arrive in order. A claim lasts `p_lease`.
CREATE FUNCTION emailmcp.claim_webhooks(p_per_endpoint integer, p_limit integer, p_lease interval, p_busy text[])
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
  WITH due AS (
    SELECT e.tenant_id, e.id AS endpoint_id, first.seq, e.url, e.secret_sealed,
      CASE WHEN e.previous_until > now() THEN e.previous_sealed END AS previous_sealed
    FROM webhook_endpoints e CROSS JOIN LATERAL (
      SELECT d.seq FROM webhook_deliveries d
      WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.id AND d.state = 'pending'
        AND d.next_at <= clock_timestamp()
        AND NOT EXISTS (SELECT FROM webhook_deliveries b
          WHERE b.tenant_id = d.tenant_id AND b.endpoint_id = d.endpoint_id AND b.subject = d.subject
            AND b.state = 'pending' AND b.seq < d.seq)
      ORDER BY d.next_at LIMIT p_per_endpoint FOR UPDATE OF d SKIP LOCKED) AS first
    WHERE e.disabled_at IS NULL AND NOT (e.id = ANY (p_busy))
    LIMIT p_limit
  )
  UPDATE webhook_deliveries d
  SET attempts = d.attempts + 1, next_at = clock_timestamp() + p_lease
  FROM due WHERE d.tenant_id = due.tenant_id AND d.endpoint_id = due.endpoint_id AND d.seq = due.seq
  RETURNING d.tenant_id, d.endpoint_id, d.seq, d.id, d.type, d.payload, d.attempts, d.created_at, due.url,
    due.secret_sealed, due.previous_sealed;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Records what became of a claim; false when the delivery was claimed anew meanwhile. The subject's later events wait
-- with one that is tried again, and go on after one that is done.
CREATE FUNCTION emailmcp.finish_webhook(
  p_tenant_id text, p_endpoint_id text, p_seq bigint, p_attempt integer, p_state text, p_delay interval,
  p_status integer, p_error text, p_disable boolean)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  about text;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE webhook_deliveries
    SET state = p_state, next_at = moment + p_delay, last_status = p_status, last_error = p_error,
        done_at = CASE WHEN p_state <> 'pending' THEN moment END
    WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_endpoint_id COLLATE "C" AND seq = p_seq
      AND attempts = p_attempt AND state = 'pending'
    RETURNING subject INTO about;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE webhook_deliveries
    SET next_at = CASE WHEN p_state = 'pending' THEN greatest(next_at, moment + p_delay) ELSE moment END
    WHERE tenant_id = p_tenant_id COLLATE "C" AND endpoint_id = p_endpoint_id COLLATE "C" AND subject = about
      AND state = 'pending' AND seq > p_seq;
  IF p_disable THEN
    UPDATE webhook_endpoints SET disabled_at = moment
      WHERE tenant_id = p_tenant_id COLLATE "C" AND id = p_endpoint_id COLLATE "C" AND disabled_at IS NULL;
  END IF;
  RETURN true;
END $$;

-- How many deliveries wait, over all tenants, counted no further than 100,000.
CREATE FUNCTION emailmcp.count_webhooks() RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  waiting bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'webhook', true);
  waiting := (SELECT count(*) FROM (
    SELECT FROM webhook_deliveries WHERE state = 'pending' LIMIT 100000) AS pending);
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN waiting;
END $$;

-- Removes what was delivered more than 3 days ago and what was given up more than 30 days ago: until then it can be
-- told again.
CREATE FUNCTION emailmcp.purge_webhooks(p_limit integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  removed bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'purge', true);
  DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM webhook_deliveries
    WHERE state <> 'pending' AND done_at < now() - interval '3 days'
      AND (state = 'delivered' OR done_at < now() - interval '30 days')
    LIMIT p_limit FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS removed = ROW_COUNT;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN removed;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
