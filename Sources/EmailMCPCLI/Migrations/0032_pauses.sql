-- "Retry after" seconds from now parked a mailbox for a day: what had been sent so far was taken for its day's limit, for the
-- next 24 hours, whatever time Gmail had named.

-- Gives mailboxes back after outcomes (or refusals), each with the earliest time of its next request, the reason when it
-- pauses for long, and how many recipients were not sent to after all. Gmail's refusals teach: its share of the pace, and its
-- day's limit, which holds until the time that Gmail named; nearer than half an hour, that may be about a burst and teaches
-- nothing. One with more to send goes to the end of the line, behind all that have been due for longer. Leaves those that
-- another job holds by now. Call it after the jobs' own rows are done.
CREATE OR REPLACE FUNCTION emailmcp.release_mailboxes(
  p_google_subs text[], p_jobs uuid[], p_free_at timestamptz[], p_reasons text[], p_refunds integer[])
RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  more text[];
BEGIN
  PERFORM FROM mailboxes m WHERE m.google_sub = ANY (p_google_subs) ORDER BY m.google_sub FOR NO KEY UPDATE;
  WITH released AS (
    UPDATE mailboxes m
      SET in_flight_job = NULL, in_flight_until = '-infinity', paused_reason = r.reason,
          next_free_at = greatest(m.next_free_at, r.free_at), pace_until = greatest(m.pace_until, r.free_at),
          credit = CASE WHEN r.free_at > moment THEN 0 ELSE m.credit END,
          usage_now = greatest(0, m.usage_now - r.refund),
          day_limit = CASE WHEN r.reason = 'daily_limit' AND r.free_at > moment + interval '30 minutes'
            THEN greatest(1, m.usage_before + m.usage_now - r.refund) ELSE m.day_limit END,
          day_limit_until = CASE WHEN r.reason = 'daily_limit' AND r.free_at > moment + interval '30 minutes'
            THEN r.free_at ELSE m.day_limit_until END,
          share = CASE WHEN r.reason = 'rate_limited' THEN emailmcp.cut_share(m.share, m.share_at, moment)
            ELSE m.share END,
          share_at = CASE WHEN r.reason = 'rate_limited' AND m.share_at <= moment - interval '10 seconds' THEN moment
            ELSE m.share_at END
      FROM unnest(p_google_subs, p_jobs, p_free_at, p_reasons, p_refunds) AS r (google_sub, job, free_at, reason, refund)
      WHERE m.google_sub = ANY (ARRAY[r.google_sub COLLATE "C"]) AND m.in_flight_job = r.job
      RETURNING m.google_sub, m.waiting
  )
  SELECT array_agg(google_sub) INTO more FROM released WHERE waiting;
  -- The rows are locked by now; the queue is looked at by the next statement, whose snapshot holds every job whose
  -- accept came before.
  IF more IS NOT NULL THEN
    UPDATE mailboxes
      SET (wake_at, urgent_at, wake_tenant, waiting) = (
        SELECT t.wake, t.urgent, t.tenant, t.wake IS NOT NULL
        FROM emailmcp.next_turn(google_sub, greatest(next_free_at, moment)) AS t)
      WHERE google_sub = ANY (more);
  END IF;
END $$;
