-- The suppression list was looked at when a mail was accepted and not again: who unsubscribed after that still got what
-- waited in the queue, be it for weeks. Now it is looked at again in the transaction after which the first byte may leave.
-- record_intents, which does not look, stays for the mailers of the release before.

-- Records that the first bytes of these mails are about to leave; answers with a word for each, in order:
--   recorded    send it
--   suppressed  nothing was recorded: a recipient is on the tenant's suppression list by now. Only of mail of which
--               nothing may have been sent.
--   lost        nothing was recorded: the lease is no longer the caller's
-- It locks jobs alone. Asked again under the same lease, because the answer was lost, it tells the log nothing new.
CREATE FUNCTION emailmcp.begin_requests(
  p_tenant_id text, p_timeline jsonb, p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_epochs bigint[])
RETURNS text[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  suppressed uuid[] := '{}';
  mine uuid[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  -- A tenant without a list pays one probe of an index: the order keeps the planner from reading other tenants' rows.
  PERFORM FROM suppressions s WHERE s.tenant_id = p_tenant_id COLLATE "C" ORDER BY s.tenant_id, s.entry LIMIT 1;
  IF FOUND THEN
    SELECT coalesce(array_agg(m.id), '{}') INTO suppressed
      FROM (SELECT p_tenant_id AS tenant_id, * FROM unnest(p_user_ids, p_ids, p_created_ats, p_epochs)
        AS u (user_id, id, created_at, epoch)) AS m
      JOIN send_jobs s ON s.tenant_id = ANY (ARRAY[m.tenant_id COLLATE "C"]) AND s.user_id = m.user_id COLLATE "C"
        AND s.id = m.id AND s.epoch = m.epoch
      JOIN email_logs l ON l.tenant_id = ANY (ARRAY[m.tenant_id COLLATE "C"]) AND l.user_id = m.user_id COLLATE "C"
        AND l.created_at = m.created_at AND l.id = m.id
      WHERE s.ambiguous_tries = 0 AND EXISTS (SELECT FROM emailmcp.suppressed_of(p_tenant_id, ARRAY(
        SELECT e FROM jsonb_array_elements_text(l.to_emails || l.cc_emails || l.bcc_emails) AS e)));
  END IF;
  WITH meant AS (
    UPDATE send_jobs s SET intent = true, intent_at = moment
      FROM (SELECT p_tenant_id AS tenant_id, * FROM unnest(p_user_ids, p_ids, p_created_ats, p_epochs)
        AS u (user_id, id, created_at, epoch) ORDER BY user_id COLLATE "C", id OFFSET 0) AS m
      WHERE s.tenant_id = ANY (ARRAY[m.tenant_id COLLATE "C"]) AND s.user_id = m.user_id COLLATE "C" AND s.id = m.id
        AND s.epoch = m.epoch AND s.lease_until > moment AND NOT m.id = ANY (suppressed)
      RETURNING s.tenant_id, s.user_id, s.id, m.created_at
  ), logged AS (
    UPDATE email_logs l
      SET status = 'sending', error_code = NULL, error_message = NULL, timeline = l.timeline || p_timeline
      FROM meant m
      WHERE l.tenant_id = ANY (ARRAY[m.tenant_id]) AND l.user_id = m.user_id AND l.created_at = m.created_at
        AND l.id = m.id AND l.status <> 'sending'
  )
  SELECT coalesce(array_agg(id), '{}') INTO mine FROM meant;
  RETURN ARRAY(
    SELECT CASE WHEN u.id = ANY (mine) THEN 'recorded' WHEN u.id = ANY (suppressed) THEN 'suppressed' ELSE 'lost' END
    FROM unnest(p_ids) WITH ORDINALITY AS u (id, ord) ORDER BY u.ord);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
