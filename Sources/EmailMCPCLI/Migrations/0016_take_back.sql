-- A mail that goes at once, and whose acceptance was committed although no answer came, is ended by the process that asked.
-- Its idempotency key went on naming it, so that every retry of the request got the dead mail's answer for seven days.
-- Now the key goes with the mail, and the retry is a request like any other.

-- Ends a mail as failed under `p_epoch`, and gives its idempotency key back; false when another one has the mail.
-- `p_key_hash`: null for a mail without a key.
CREATE FUNCTION emailmcp.take_back(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_epoch bigint, p_google_sub text,
  p_error_code text, p_error_message text, p_at timestamptz, p_timeline jsonb, p_key_hash bytea)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  IF emailmcp.record_outcomes(
    p_tenant_id, ARRAY[p_user_id], ARRAY[p_id], ARRAY[p_created_at], ARRAY[p_epoch], ARRAY[p_google_sub],
    ARRAY['failed'], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[p_error_code], ARRAY[p_error_message], ARRAY[p_at],
    ARRAY[0], ARRAY[p_timeline], '{}', '{}') = '{}' THEN
    RETURN false;
  END IF;
  DELETE FROM idempotency_keys
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND route = 'messages'
      AND key_hash = p_key_hash AND message_id = p_id;
  RETURN true;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
