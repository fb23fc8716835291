-- The age that operators scale on counted mail that no mailer could send: of mailboxes that wait for their pace, for the end
-- of a pause or for the one request that is under way. Now it is the longest time that a mailbox has had mail to send, and
-- leave to send it, and no mailer came.
--
-- `oldest_age` is null with no such mailbox. The other figures count mails, as before.
CREATE OR REPLACE FUNCTION emailmcp.queue_figures()
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
         -- A mailbox with a long queue is free for a moment after each mail: what its last request has paid for
         -- (`pace_until`) is no waiting.
         (SELECT extract(epoch FROM now() - min(greatest(m.wake_at, m.next_free_at, m.pace_until)))::float8
          FROM mailboxes m
          WHERE m.wake_at <= now() AND m.next_free_at <= now() AND m.pace_until <= now() AND m.in_flight_until <= now()
            AND NOT EXISTS (SELECT FROM project_pace p WHERE p.project = 'gmail' AND p.paused_until > now()))
  FROM send_jobs;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
