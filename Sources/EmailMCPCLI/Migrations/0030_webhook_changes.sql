-- How an endpoint is changed, said once for REST and the command line, beside `remove_webhook`.

-- Changes what is given (not null) of an endpoint; false: there is none. One that is enabled again hears of what happens
-- from then on.
CREATE FUNCTION emailmcp.update_webhook(
  p_tenant_id text, p_id text, p_url text, p_final_only boolean, p_enabled boolean)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  UPDATE webhook_endpoints
    SET url = coalesce(p_url, url), final_only = coalesce(p_final_only, final_only),
        disabled_at = CASE
          WHEN p_enabled THEN NULL WHEN NOT p_enabled THEN coalesce(disabled_at, now()) ELSE disabled_at END
    WHERE tenant_id = p_tenant_id COLLATE "C" AND id = p_id COLLATE "C" AND removed_at IS NULL;
  RETURN FOUND;
END $$;

-- Gives an endpoint a new secret, beside which the old one signs for `p_overlap`; false: there is no such endpoint.
CREATE FUNCTION emailmcp.rotate_webhook(p_tenant_id text, p_id text, p_secret bytea, p_overlap interval) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  UPDATE webhook_endpoints
    SET previous_sealed = secret_sealed, secret_sealed = p_secret, previous_until = now() + p_overlap
    WHERE tenant_id = p_tenant_id COLLATE "C" AND id = p_id COLLATE "C" AND removed_at IS NULL;
  RETURN FOUND;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
