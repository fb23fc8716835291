-- A watch of messages asks several times a second what has changed. It could not learn that a mail was cancelled, for
-- nothing said when; and asked for a whole tenant, it had no index by time and read the tenant's log.

ALTER TABLE email_logs ADD COLUMN cancelled_at timestamptz;
CREATE INDEX email_logs_cancelled ON email_logs (tenant_id, cancelled_at) WHERE cancelled_at IS NOT NULL;
-- By blocks: an outcome pays next to nothing for it, and the newest outcomes stand in few blocks.
CREATE INDEX email_logs_outcomes ON email_logs USING brin (sent_at) WITH (pages_per_range = 32, autosummarize = on);

CREATE OR REPLACE FUNCTION emailmcp.cancel_message(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_timeline jsonb)
RETURNS text
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  found_status text;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  DELETE FROM send_jobs
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND NOT intent
      AND (lease_until IS NULL OR lease_until < clock_timestamp()) AND (on_ambiguous = 'hold' OR attempts = 0);
  IF FOUND THEN
    UPDATE email_logs
      SET status = 'cancelled', error_code = NULL, error_message = NULL, cancelled_at = clock_timestamp(),
          timeline = timeline || p_timeline
      WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
        AND id = p_id;
    RETURN 'cancelled';
  END IF;
  SELECT status INTO found_status FROM email_logs
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  RETURN CASE WHEN found_status IS NULL THEN 'not_found' WHEN found_status = 'cancelled' THEN 'cancelled'
    ELSE 'too_late' END;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
