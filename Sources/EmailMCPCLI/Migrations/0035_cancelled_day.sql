-- Recipients count against their mailbox's day from the claim on. Those of a mail whose worker had let its lease lapse before
-- the intent, and that was then cancelled, were counted for 24 hours although nothing was sent.

CREATE OR REPLACE FUNCTION emailmcp.cancel_message(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_timeline jsonb)
RETURNS text
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  box text;
  counted integer;
  found_status text;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  DELETE FROM send_jobs
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND NOT intent
      AND (lease_until IS NULL OR lease_until < clock_timestamp()) AND ambiguous_tries = 0
    RETURNING mailbox, CASE WHEN lease_until IS NULL THEN 0 ELSE recipients END INTO box, counted;
  IF FOUND THEN
    UPDATE email_logs
      SET status = 'cancelled', error_code = NULL, error_message = NULL, cancelled_at = clock_timestamp(),
          timeline = timeline || p_timeline
      WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
        AND id = p_id;
    UPDATE mailboxes SET usage_now = greatest(0, usage_now - counted) WHERE google_sub = box AND counted > 0;
    RETURN 'cancelled';
  END IF;
  SELECT status INTO found_status FROM email_logs
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  RETURN CASE WHEN found_status IS NULL THEN 'not_found' WHEN found_status = 'cancelled' THEN 'cancelled'
    ELSE 'too_late' END;
END $$;
