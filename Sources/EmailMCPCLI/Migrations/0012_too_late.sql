-- A mail under `retry` whose request may have reached Gmail waits in the queue like any other, but it can no longer be
-- taken back: nobody knows that it has not been sent. Under `hold` such a mail is final.
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
      SET status = 'cancelled', error_code = NULL, error_message = NULL, timeline = timeline || p_timeline
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
