-- The mailer's steps for many mails at once: one statement each for what arrives together, so that plans, checks,
-- round trips and commits are paid for once. They replace the functions of a single mail, and count a Google account's
-- recipients against its day.
--
-- Order of locks, the same in all of them: jobs, then mailboxes by google_sub, then idempotency keys. Two batches that
-- meet in some mailboxes wait for each other and never in a circle.

-- Begins a batch: names the tenant, and has its statements planned once a connection, with every row found by its key,
-- whatever the tables' statistics say: a batch has few rows, and a plan made for few tenants must not read a whole table
-- later.
CREATE FUNCTION emailmcp.begin_batch(p_tenant_id text) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true), set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_material', 'off', true),
    set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true);
END $$;

-- A batch joins these tables by their whole keys, and must do so also while a new partition's statistics know of one row
-- a tenant. To the planner, "all of the tenant" then looks as cheap as "this row", and it takes the first. So the policy
-- compares under another name of the same collation, which no index has: it judges rows and never finds them.
ALTER POLICY tenant ON email_logs
  USING (tenant_id COLLATE "POSIX" = nullif(current_setting('emailmcp.tenant_id', true), ''));
ALTER POLICY tenant ON send_jobs
  USING (tenant_id COLLATE "POSIX" = nullif(current_setting('emailmcp.tenant_id', true), ''));
ALTER POLICY tenant ON user_email_accounts
  USING (tenant_id COLLATE "POSIX" = nullif(current_setting('emailmcp.tenant_id', true), ''));

-- The rolling day: `usage_now` counts the hour `usage_hour`, `usage_before` the 24 hours before it, whose figures are in
-- `mailbox_usage`. So a window of 24 hours, wherever it begins, holds no more than the limit.
ALTER TABLE mailboxes
  ADD COLUMN usage_hour timestamptz NOT NULL DEFAULT '-infinity',
  ADD COLUMN usage_now integer NOT NULL DEFAULT 0,
  ADD COLUMN usage_before integer NOT NULL DEFAULT 0,
  ADD COLUMN day_limit integer,                               -- learnt: where Gmail said that the day was used up
  ADD COLUMN day_limit_until timestamptz NOT NULL DEFAULT '-infinity';

-- Closes the hours that are over, of mailboxes that are about to send.
CREATE FUNCTION emailmcp.roll_usage(p_google_subs text[], p_hour timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  stale text[];
BEGIN
  IF NOT EXISTS (SELECT FROM mailboxes m WHERE m.google_sub = ANY (p_google_subs) AND m.usage_hour < p_hour) THEN
    RETURN;
  END IF;
  SELECT array_agg(locked.google_sub) INTO stale FROM (
    SELECT m.google_sub FROM mailboxes m WHERE m.google_sub = ANY (p_google_subs) AND m.usage_hour < p_hour
    ORDER BY m.google_sub FOR NO KEY UPDATE) AS locked;
  INSERT INTO mailbox_usage AS u (google_sub, hour, recipients)
  SELECT m.google_sub, m.usage_hour, m.usage_now FROM mailboxes m
    WHERE m.google_sub = ANY (stale) AND m.usage_now > 0 AND m.usage_hour < p_hour
  ON CONFLICT (google_sub, hour) DO UPDATE SET recipients = u.recipients + excluded.recipients;
  UPDATE mailboxes m SET usage_hour = p_hour, usage_now = 0, usage_before = coalesce((
      SELECT sum(u.recipients) FROM mailbox_usage u
      WHERE u.google_sub = m.google_sub AND u.hour >= p_hour - interval '24 hours'), 0)
    WHERE m.google_sub = ANY (stale) AND m.usage_hour < p_hour;
END $$;

-- How many recipients a mailbox may still have in its day; all of the day for one that has sent nothing, so that a mail
-- with more recipients than a learnt limit is for Gmail to judge.
CREATE FUNCTION emailmcp.day_room(
  p_used integer, p_limit integer, p_learnt integer, p_learnt_until timestamptz, p_moment timestamptz)
RETURNS integer
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN p_used = 0 THEN p_limit
    ELSE (CASE WHEN p_learnt_until > p_moment THEN least(p_learnt, p_limit) ELSE p_limit END) - p_used END
$$;

-- When the day of a mailbox next has room for `p_recipients`: the oldest hours' figures leave the window one by one.
CREATE FUNCTION emailmcp.day_frees_at(
  p_google_sub text, p_hour timestamptz, p_missing integer)
RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
  SELECT coalesce(
    (SELECT hour + interval '25 hours' FROM (
      SELECT u.hour, sum(u.recipients) OVER (ORDER BY u.hour) AS freed FROM mailbox_usage u
      WHERE u.google_sub = p_google_sub COLLATE "C" AND u.hour >= p_hour - interval '24 hours' AND u.hour < p_hour) AS h
     WHERE freed >= p_missing ORDER BY hour LIMIT 1),
    p_hour + interval '25 hours')
$$;

DROP FUNCTION emailmcp.acquire_mailbox(text, uuid, interval, double precision, integer);
DROP FUNCTION emailmcp.release_mailbox(text, uuid, timestamptz, text);
DROP FUNCTION emailmcp.wake_mailbox(text, timestamptz);

-- Takes mailboxes for jobs that want to go at once, the first of each mailbox; answers with the jobs that may. Those
-- whose mailbox is busy, paced, out of its day's quota, or has older mail waiting, may not.
-- It leaves `wake_at` alone, and so does a release with an empty queue: with no indexed column changed, both are HOT
-- updates. A mail whose worker dies is found by its lease (wake_lapsed).
-- `p_interval`: seconds between two requests at full load; `p_burst`: how many may come early after a rest.
CREATE FUNCTION emailmcp.acquire_mailboxes(
  p_google_subs text[], p_jobs uuid[], p_recipients integer[], p_lease interval, p_interval double precision,
  p_burst integer, p_day_limit integer)
RETURNS uuid[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  this_hour timestamptz := date_bin('1 hour', moment, 'epoch');
  pace interval := p_interval * interval '1 second';
  taken uuid[];
BEGIN
  PERFORM emailmcp.roll_usage(p_google_subs, this_hour);
  WITH acquired AS (
    INSERT INTO mailboxes AS m (
      google_sub, next_free_at, pace_until, credit, in_flight_job, in_flight_until, usage_hour, usage_now)
    SELECT * FROM (
      SELECT DISTINCT ON (w.google_sub COLLATE "C") w.google_sub,
        CASE WHEN p_burst > 0 THEN '-infinity' ELSE moment + pace END, moment + pace, p_burst, w.job, moment + p_lease,
        this_hour, w.recipients
      FROM unnest(p_google_subs, p_jobs, p_recipients) WITH ORDINALITY AS w (google_sub, job, recipients, ord)
      ORDER BY w.google_sub COLLATE "C", w.ord) AS first
    ON CONFLICT (google_sub) DO UPDATE
      SET credit = emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst),
          next_free_at = CASE WHEN emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst) > 0
            THEN '-infinity' ELSE greatest(m.pace_until, moment) + pace END,
          pace_until = greatest(m.pace_until, moment) + pace,
          in_flight_job = excluded.in_flight_job, in_flight_until = excluded.in_flight_until, paused_reason = NULL,
          usage_hour = excluded.usage_hour, usage_now = m.usage_now + excluded.usage_now
      WHERE m.next_free_at <= moment AND m.in_flight_until <= moment AND (m.wake_at IS NULL OR m.wake_at > moment)
        AND excluded.usage_now <= emailmcp.day_room(
          m.usage_before + m.usage_now, p_day_limit, m.day_limit, m.day_limit_until, moment)
    RETURNING m.in_flight_job
  )
  SELECT coalesce(array_agg(in_flight_job), '{}') INTO taken FROM acquired;
  RETURN taken;
END $$;

-- Says that jobs of these mailboxes are due at these times.
CREATE FUNCTION emailmcp.wake_mailboxes(p_google_subs text[], p_at timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  INSERT INTO mailboxes AS m (google_sub, wake_at, waiting)
  SELECT w.google_sub, min(w.at), true FROM unnest(p_google_subs, p_at) AS w (google_sub, at)
    GROUP BY w.google_sub COLLATE "C", w.google_sub ORDER BY w.google_sub COLLATE "C"
  ON CONFLICT (google_sub) DO UPDATE
    SET wake_at = least(m.wake_at, greatest(excluded.wake_at, m.next_free_at, m.in_flight_until)), waiting = true
    WHERE NOT m.waiting OR m.wake_at IS NULL
      OR m.wake_at > greatest(excluded.wake_at, m.next_free_at, m.in_flight_until);
END $$;

-- Gives mailboxes back after outcomes (or refusals), each with the earliest time of its next request, the reason when it
-- pauses for long, and how many recipients were not sent to after all. Leaves those that another job holds by now. Call
-- it after the jobs' own rows are done.
CREATE FUNCTION emailmcp.release_mailboxes(
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
          day_limit = CASE WHEN r.reason = 'daily_limit'
            THEN greatest(1, m.usage_before + m.usage_now - r.refund) ELSE m.day_limit END,
          day_limit_until = CASE WHEN r.reason = 'daily_limit'
            THEN moment + interval '24 hours' ELSE m.day_limit_until END
      FROM unnest(p_google_subs, p_jobs, p_free_at, p_reasons, p_refunds) AS r (google_sub, job, free_at, reason, refund)
      WHERE m.google_sub = r.google_sub COLLATE "C" AND m.in_flight_job = r.job
      RETURNING m.google_sub, m.waiting
  )
  SELECT array_agg(google_sub) INTO more FROM released WHERE waiting;
  -- The rows are locked by now; the queue is looked at by the next statement, whose snapshot holds every job whose
  -- accept came before.
  IF more IS NOT NULL THEN
    UPDATE mailboxes
      SET (wake_at, waiting) = (SELECT w, w IS NOT NULL FROM emailmcp.next_wake(google_sub, next_free_at) AS w)
      WHERE google_sub = ANY (more);
  END IF;
END $$;

DROP FUNCTION emailmcp.accept_message(
  text, text, uuid, timestamptz, text, bigint, text, jsonb, jsonb, jsonb, text, text, text, jsonb, timestamptz, text,
  integer, integer, bytea, bytea, bytea, text, interval, double precision, integer, jsonb, jsonb);

-- Accepts mails of one tenant; answers with a word for each, in order:
--   sending     accepted, leased to `p_worker` with its intent recorded: send it now (epoch 1)
--   queued      accepted; it waits for its mailbox or its time
--   busy        nothing was kept: it cannot go at once, and its payload was null. Call again with the payload.
--   suppressed  nothing was kept: a recipient is on the tenant's suppression list
--   no_account  nothing was kept: the account is not active, or not the one that the caller thinks
--   duplicate   nothing was kept: the idempotency key is taken
-- `p_at_once`: it would be sent by `p_worker` now. A timeline each for those that are sent, queued, scheduled.
DROP FUNCTION emailmcp.has_suppressed(text, jsonb, jsonb, jsonb);
CREATE FUNCTION emailmcp.accept_messages(
  p_tenant_id text, p_worker text, p_lease interval, p_interval double precision, p_burst integer, p_day_limit integer,
  p_timeline_sending jsonb, p_timeline_queued jsonb, p_timeline_scheduled jsonb,
  p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_google_subs text[], p_grant_versions bigint[],
  p_from_emails text[], p_tos jsonb[], p_ccs jsonb[], p_bccs jsonb[], p_subjects text[], p_thread_ids text[],
  p_credential_ids text[], p_metadatas jsonb[], p_send_ats timestamptz[], p_on_ambiguous text[],
  p_recipients integer[], p_classes integer[], p_key_hashes bytea[], p_fingerprints bytea[], p_payloads bytea[],
  p_at_once boolean[])
RETURNS text[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  known uuid[];
  at_once uuid[];
  at_once_subs text[];
  at_once_recipients integer[];
  mine uuid[] := '{}';
  suppressed uuid[] := '{}';
  statuses text[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  -- A tenant without a list pays one probe of an index: the order keeps the planner from reading other tenants' rows.
  PERFORM FROM suppressions s WHERE s.tenant_id = p_tenant_id COLLATE "C" ORDER BY s.tenant_id, s.entry LIMIT 1;
  IF FOUND THEN
    SELECT coalesce(array_agg(m.id), '{}') INTO suppressed
      FROM unnest(p_ids, p_tos, p_ccs, p_bccs) AS m (id, tos, ccs, bccs)
      WHERE EXISTS (SELECT FROM emailmcp.suppressed_of(p_tenant_id, ARRAY(
        SELECT e FROM jsonb_array_elements_text(m.tos || m.ccs || m.bccs) AS e)));
  END IF;
  SELECT array_agg(m.id), array_agg(m.id) FILTER (WHERE go), array_agg(m.google_sub) FILTER (WHERE go),
         array_agg(m.recipients) FILTER (WHERE go)
    INTO known, at_once, at_once_subs, at_once_recipients
    FROM unnest(p_user_ids, p_ids, p_google_subs, p_grant_versions, p_recipients, p_at_once)
      AS u (user_id, id, google_sub, grant_version, recipients, wants)
    CROSS JOIN LATERAL (SELECT u.*, u.wants AND NOT u.id = ANY (suppressed) AS go) AS m
    CROSS JOIN LATERAL (
      SELECT a.status, a.grant_version, a.google_sub FROM user_email_accounts a
      WHERE a.tenant_id = p_tenant_id COLLATE "C" AND a.user_id = m.user_id COLLATE "C" AND a.provider = 'gmail_api'
      OFFSET 0) AS a
    WHERE a.status = 'active' AND a.grant_version = m.grant_version AND a.google_sub = m.google_sub COLLATE "C";
  IF at_once IS NOT NULL THEN
    mine := emailmcp.acquire_mailboxes(
      at_once_subs, at_once, at_once_recipients, p_lease, p_interval, p_burst, p_day_limit);
  END IF;
  WITH mail AS MATERIALIZED (
    SELECT m.*, m.id = ANY (known) IS TRUE AS is_known, m.id = ANY (mine) AS is_mine,
      m.id = ANY (suppressed) AS is_suppressed
    FROM unnest(
        p_user_ids, p_ids, p_created_ats, p_google_subs, p_from_emails, p_tos, p_ccs, p_bccs, p_subjects, p_thread_ids,
        p_credential_ids, p_metadatas, p_send_ats, p_on_ambiguous, p_recipients, p_classes, p_key_hashes, p_fingerprints,
        p_payloads) WITH ORDINALITY
      AS m (user_id, id, created_at, google_sub, from_email, tos, ccs, bccs, subject, thread_id, credential_id, metadata,
        send_at, on_ambiguous, recipients, class, key_hash, fingerprint, payload, ord)
  ), keyed AS (
    -- The first answer to mail that nobody waits for is 202, whatever becomes of it. An expired key counts as free.
    INSERT INTO idempotency_keys AS k (tenant_id, user_id, route, key_hash, fingerprint, message_id, response_status)
    SELECT p_tenant_id, user_id, 'messages', key_hash, fingerprint, id, CASE WHEN class > 0 THEN 202 END FROM (
      SELECT DISTINCT ON (user_id COLLATE "C", key_hash) * FROM mail
      WHERE key_hash IS NOT NULL AND is_known AND NOT is_suppressed AND (is_mine OR payload IS NOT NULL)
      ORDER BY user_id COLLATE "C", key_hash, ord) AS first
    ON CONFLICT (tenant_id, user_id, route, key_hash) DO UPDATE
      SET fingerprint = excluded.fingerprint, message_id = excluded.message_id,
          response_status = excluded.response_status, created_at = excluded.created_at, expires_at = excluded.expires_at
      WHERE k.expires_at < clock_timestamp()
    RETURNING message_id
  ), judged AS MATERIALIZED (
    SELECT mail.*, CASE WHEN NOT is_known THEN 'no_account' WHEN is_suppressed THEN 'suppressed'
        WHEN NOT is_mine AND payload IS NULL THEN 'busy'
        WHEN key_hash IS NOT NULL AND NOT EXISTS (SELECT FROM keyed WHERE message_id = mail.id) THEN 'duplicate'
        WHEN is_mine THEN 'sending' ELSE 'queued' END AS verdict
    FROM mail
  ), logged AS (
    INSERT INTO email_logs (
      tenant_id, user_id, created_at, id, from_email, to_emails, cc_emails, bcc_emails, subject, status, thread_id,
      send_at, credential_id, metadata, timeline)
    SELECT p_tenant_id, user_id, created_at, id, from_email, tos, ccs, bccs, subject,
      CASE WHEN is_mine THEN 'sending' WHEN send_at IS NOT NULL THEN 'scheduled' ELSE 'queued' END, thread_id,
      send_at, credential_id, metadata, CASE WHEN is_mine THEN p_timeline_sending
        WHEN send_at IS NOT NULL THEN p_timeline_scheduled ELSE p_timeline_queued END
    FROM judged WHERE verdict IN ('sending', 'queued')
  ), stored AS (
    INSERT INTO send_jobs (
      tenant_id, user_id, id, created_at, mailbox, class, run_at, on_ambiguous, recipients, epoch, lease_owner,
      lease_until, intent, intent_at, payload)
    SELECT p_tenant_id, user_id, id, created_at, google_sub, class, coalesce(send_at, moment), on_ambiguous,
      recipients, is_mine::integer, CASE WHEN is_mine THEN p_worker END, CASE WHEN is_mine THEN moment + p_lease END,
      is_mine, CASE WHEN is_mine THEN moment END, payload
    FROM judged WHERE verdict IN ('sending', 'queued')
  )
  SELECT array_agg(verdict ORDER BY ord) INTO statuses FROM judged;
  IF 'duplicate' = ANY (statuses) AND mine <> '{}' THEN
    PERFORM emailmcp.release_mailboxes(
      array_agg(m.google_sub), array_agg(m.id), array_agg('-infinity'::timestamptz), array_agg(NULL::text),
      array_agg(m.recipients))
    FROM unnest(statuses, p_ids, p_google_subs, p_recipients) AS m (status, id, google_sub, recipients)
    WHERE m.status = 'duplicate' AND m.id = ANY (mine) HAVING count(*) > 0;
  END IF;
  IF 'queued' = ANY (statuses) THEN
    PERFORM emailmcp.wake_mailboxes(array_agg(m.google_sub), array_agg(coalesce(m.send_at, moment)))
    FROM unnest(statuses, p_google_subs, p_send_ats) AS m (status, google_sub, send_at) WHERE m.status = 'queued';
  END IF;
  RETURN statuses;
END $$;

DROP FUNCTION emailmcp.record_intent(text, text, uuid, timestamptz, bigint, jsonb);

-- Records that the first bytes of these mails are about to leave; answers with those whose lease is still the caller's.
CREATE FUNCTION emailmcp.record_intents(
  p_tenant_id text, p_timeline jsonb, p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_epochs bigint[])
RETURNS uuid[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
  mine uuid[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  WITH meant AS (
    UPDATE send_jobs s SET intent = true, intent_at = moment
      FROM (SELECT p_tenant_id AS tenant_id, * FROM unnest(p_user_ids, p_ids, p_created_ats, p_epochs)
        AS u (user_id, id, created_at, epoch) OFFSET 0) AS m
      WHERE s.tenant_id = m.tenant_id COLLATE "C" AND s.user_id = m.user_id COLLATE "C" AND s.id = m.id
        AND s.epoch = m.epoch AND s.lease_until > moment
      RETURNING s.tenant_id, s.user_id, s.id, m.created_at
  ), logged AS (
    UPDATE email_logs l
      SET status = 'sending', error_code = NULL, error_message = NULL, timeline = l.timeline || p_timeline
      FROM meant m
      WHERE l.tenant_id = m.tenant_id AND l.user_id = m.user_id AND l.created_at = m.created_at
        AND l.id = m.id
  )
  SELECT coalesce(array_agg(id), '{}') INTO mine FROM meant;
  RETURN mine;
END $$;

DROP FUNCTION emailmcp.record_outcome(
  text, text, uuid, timestamptz, bigint, text, text, text, text, text, text, timestamptz, integer, text[], jsonb);

-- Records final statuses with all that is counted under them, and ends the jobs; answers with those whose lease was
-- still the caller's. `p_addresses`: to be counted, lower-cased, each once a mail, for successes only; the number beside
-- it is the mail's place.
CREATE FUNCTION emailmcp.record_outcomes(
  p_tenant_id text, p_user_ids text[], p_ids uuid[], p_created_ats timestamptz[], p_epochs bigint[], p_google_subs text[], p_statuses text[], p_message_ids text[],
  p_thread_ids text[], p_error_codes text[], p_error_messages text[], p_sent_ats timestamptz[], p_attempts integer[],
  p_timelines jsonb[], p_address_places integer[], p_addresses text[])
RETURNS uuid[]
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  mine uuid[];
  boxes text[];
  refunds integer[];
BEGIN
  PERFORM emailmcp.begin_batch(p_tenant_id);
  WITH done AS MATERIALIZED (
    SELECT p_tenant_id AS tenant_id, m.*, date_bin('15 minutes', m.sent_at, 'epoch') AS quarter FROM unnest(
        p_user_ids, p_ids, p_created_ats, p_epochs, p_google_subs, p_statuses, p_message_ids, p_thread_ids,
        p_error_codes, p_error_messages, p_sent_ats, p_attempts, p_timelines) WITH ORDINALITY
      AS m (user_id, id, created_at, epoch, google_sub, status, message_id, thread_id, error_code, error_message, sent_at,
        attempts, timeline, ord)
  ), ended AS (
    DELETE FROM send_jobs s USING done d
      WHERE s.tenant_id = d.tenant_id COLLATE "C" AND s.user_id = d.user_id COLLATE "C" AND s.id = d.id
        AND s.epoch = d.epoch
      RETURNING d.*, s.recipients
  ), logged AS (
    UPDATE email_logs l
      SET status = d.status, message_id = d.message_id, thread_id = coalesce(d.thread_id, l.thread_id),
          error_code = d.error_code, error_message = d.error_message, sent_at = d.sent_at, attempts = d.attempts,
          timeline = l.timeline || d.timeline
      FROM ended d
      WHERE l.tenant_id = d.tenant_id COLLATE "C" AND l.user_id = d.user_id COLLATE "C"
        AND l.created_at = d.created_at AND l.id = d.id
  ), counted AS (
    INSERT INTO email_stats_15m AS s (tenant_id, user_id, bucket, success, failed, unknown)
    SELECT p_tenant_id, user_id, quarter, count(*) FILTER (WHERE status = 'success'),
      count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unknown')
    FROM ended GROUP BY user_id, quarter ORDER BY user_id COLLATE "C", quarter
    ON CONFLICT (tenant_id, user_id, bucket) DO UPDATE
      SET success = s.success + excluded.success, failed = s.failed + excluded.failed,
          unknown = s.unknown + excluded.unknown
  ), totalled AS (
    INSERT INTO platform_total_deltas (tenant_id, bucket, success, failed, unknown)
    SELECT p_tenant_id, quarter, count(*) FILTER (WHERE status = 'success'),
      count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unknown')
    FROM ended GROUP BY quarter
  ), reached AS (
    INSERT INTO email_recipients_day AS r (tenant_id, user_id, day, email, success)
    SELECT p_tenant_id, e.user_id, (e.sent_at AT TIME ZONE 'UTC')::date, a.email, count(*)
    FROM unnest(p_address_places, p_addresses) AS a (place, email) JOIN ended e ON e.ord = a.place
    WHERE e.status = 'success'
    GROUP BY 2, 3, 4 ORDER BY e.user_id COLLATE "C", 3, a.email COLLATE "C"
    ON CONFLICT (tenant_id, user_id, day, email) DO UPDATE SET success = r.success + excluded.success
  ), used AS (
    -- "Last used" to the minute: a busy account's row is not written for each mail.
    UPDATE user_email_accounts a SET last_used_at = e.sent_at
      FROM (SELECT tenant_id, user_id, max(sent_at) AS sent_at FROM ended WHERE status = 'success' GROUP BY 1, 2) AS e
      WHERE a.tenant_id = e.tenant_id COLLATE "C" AND a.user_id = e.user_id COLLATE "C" AND a.provider = 'gmail_api'
        AND (a.last_used_at IS NULL OR a.last_used_at < e.sent_at - interval '1 minute')
  )
  SELECT array_agg(id), array_agg(google_sub), array_agg(CASE WHEN status = 'failed' THEN recipients ELSE 0 END)
    INTO mine, boxes, refunds FROM ended;
  IF mine IS NULL THEN
    RETURN '{}';
  END IF;
  PERFORM emailmcp.release_mailboxes(
    boxes, mine, array_fill('-infinity'::timestamptz, ARRAY[cardinality(mine)]),
    array_fill(NULL::text, ARRAY[cardinality(mine)]), refunds);
  RETURN mine;
END $$;

-- Gives a mail back to the queue for `p_run_at`; false when the lease is no longer the caller's.
-- `p_mailbox_free_at`: when it is not null, nothing of this mailbox goes before. `p_was_sent`: it may have reached Gmail,
-- so its recipients count against the mailbox's day.
DROP FUNCTION emailmcp.requeue_job(
  text, text, uuid, timestamptz, bigint, text, timestamptz, integer, text, text, text, bytea, timestamptz, jsonb);
CREATE FUNCTION emailmcp.requeue_job(
  p_tenant_id text, p_user_id text, p_id uuid, p_created_at timestamptz, p_epoch bigint, p_google_sub text,
  p_run_at timestamptz, p_attempts integer, p_parked text, p_error_code text, p_error_message text, p_payload bytea,
  p_mailbox_free_at timestamptz, p_was_sent boolean, p_timeline jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  counted integer;
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE send_jobs
    SET lease_owner = NULL, lease_until = NULL, intent = false, intent_at = NULL, run_at = p_run_at,
        attempts = p_attempts, parked = p_parked, payload = coalesce(p_payload, payload)
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND id = p_id AND epoch = p_epoch
    RETURNING recipients INTO counted;
  IF counted IS NULL THEN
    RETURN false;
  END IF;
  UPDATE email_logs
    SET status = 'queued', attempts = p_attempts, error_code = p_error_code, error_message = p_error_message,
        timeline = timeline || p_timeline
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND created_at = p_created_at
      AND id = p_id;
  UPDATE mailboxes SET waiting = true WHERE google_sub = p_google_sub COLLATE "C" AND in_flight_job = p_id;
  PERFORM emailmcp.release_mailboxes(
    ARRAY[p_google_sub], ARRAY[p_id], ARRAY[coalesce(p_mailbox_free_at, '-infinity')], ARRAY[p_parked],
    ARRAY[CASE WHEN p_was_sent THEN 0 ELSE counted END]);
  RETURN true;
END $$;

-- Leases up to `p_limit` due jobs for `p_worker`, at most one a mailbox, tenants taking turns, oldest first within one.
-- A job whose lease lapsed is claimed again with the next epoch; it comes with `intent` as the last worker left it:
-- true means that its outcome is unknown and that it must not simply be sent. Its recipients are counted already.
-- A mailbox whose day has no room for its next mail sleeps until it has.
-- A payload over `p_inline_bytes` comes as null: read it by itself.
DROP FUNCTION emailmcp.claim_jobs(text, integer, interval, double precision, integer, integer);
CREATE FUNCTION emailmcp.claim_jobs(
  p_worker text, p_limit integer, p_lease interval, p_interval double precision, p_burst integer, p_day_limit integer,
  p_inline_bytes integer DEFAULT 262144)
RETURNS TABLE (
  tenant_id text, user_id text, id uuid, created_at timestamptz, mailbox text, class smallint, run_at timestamptz,
  attempts integer, on_ambiguous text, recipients integer, epoch bigint, lease_until timestamptz, intent boolean,
  intent_at timestamptz, cancel_requested boolean, payload_bytes integer, payload bytea)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  moment timestamptz := clock_timestamp();
  this_hour timestamptz := date_bin('1 hour', moment, 'epoch');
  pace interval := p_interval * interval '1 second';
  ready text[];
BEGIN
  PERFORM set_config('emailmcp.scope', 'queue', true);
  IF p_limit NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'p_limit must be between 1 and 1000' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Lock the mailboxes first; their queues are looked at by the next statement's snapshot (see release_mailboxes).
  SELECT array_agg(locked.google_sub) INTO ready
  FROM (
    SELECT m.google_sub FROM mailboxes m
    WHERE m.wake_at <= moment AND m.next_free_at <= moment AND m.in_flight_until <= moment
    ORDER BY m.wake_at LIMIT p_limit * 4
    FOR UPDATE SKIP LOCKED
  ) locked;
  IF ready IS NULL THEN
    PERFORM set_config('emailmcp.scope', outer_scope, true);
    RETURN;
  END IF;
  PERFORM emailmcp.roll_usage(ready, this_hour);
  RETURN QUERY
  WITH head AS MATERIALIZED (
    SELECT r.google_sub, j.tenant_id, j.user_id, j.id, j.run_at, j.recipients, j.lapsed,
           emailmcp.day_room(m.usage_before + m.usage_now, p_day_limit, m.day_limit, m.day_limit_until, moment) AS room,
           row_number() OVER (PARTITION BY j.tenant_id ORDER BY j.class, j.run_at, j.id) AS turn
    FROM unnest(ready) AS r (google_sub) JOIN mailboxes m ON m.google_sub = r.google_sub COLLATE "C"
    CROSS JOIN LATERAL (
      SELECT s.tenant_id, s.user_id, s.id, s.run_at, s.class, s.recipients, s.lease_until IS NOT NULL AS lapsed
      FROM send_jobs s
      WHERE s.mailbox = r.google_sub AND s.run_at <= moment AND (s.lease_until IS NULL OR s.lease_until <= moment)
      ORDER BY s.lease_until IS NULL, s.run_at, s.id LIMIT 1
      FOR UPDATE SKIP LOCKED
    ) j
  ), chosen AS MATERIALIZED (
    SELECT * FROM head WHERE lapsed OR recipients <= room ORDER BY turn, run_at, id LIMIT p_limit
  ), busy AS (
    UPDATE mailboxes m
      SET in_flight_job = c.id, in_flight_until = moment + p_lease, wake_at = moment + p_lease, paused_reason = NULL,
          credit = emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst),
          next_free_at = CASE WHEN emailmcp.paced_credit(m.pace_until, m.credit, moment, p_interval, p_burst) > 0
            THEN '-infinity' ELSE greatest(m.pace_until, moment) + pace END,
          pace_until = greatest(m.pace_until, moment) + pace, waiting = true,
          usage_hour = this_hour, usage_now = m.usage_now + CASE WHEN c.lapsed THEN 0 ELSE c.recipients END
      FROM chosen c WHERE m.google_sub = c.google_sub
  ), full_day AS (
    UPDATE mailboxes m
      SET (next_free_at, wake_at) = (SELECT f, f
            FROM emailmcp.day_frees_at(h.google_sub, this_hour, h.recipients - h.room) AS f),
          paused_reason = 'daily_limit', waiting = true
      FROM head h WHERE m.google_sub = h.google_sub AND NOT h.lapsed AND h.recipients > h.room
  ), idle AS (
    UPDATE mailboxes m
      SET (wake_at, waiting) = (SELECT w, w IS NOT NULL FROM emailmcp.next_wake(m.google_sub, m.next_free_at) AS w)
      WHERE m.google_sub = ANY (ready) AND NOT EXISTS (SELECT FROM head h WHERE h.google_sub = m.google_sub)
  )
  UPDATE send_jobs s
    SET epoch = s.epoch + 1, lease_owner = p_worker, lease_until = moment + p_lease
    FROM chosen c WHERE s.tenant_id = c.tenant_id AND s.user_id = c.user_id AND s.id = c.id
  RETURNING s.tenant_id, s.user_id, s.id, s.created_at, s.mailbox, s.class, s.run_at, s.attempts, s.on_ambiguous,
    s.recipients, s.epoch, s.lease_until, s.intent, s.intent_at, s.cancel_requested, octet_length(s.payload),
    CASE WHEN octet_length(s.payload) <= p_inline_bytes THEN s.payload END;
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Lets a user's mails go that waited for the account to be connected again; answers how many.
CREATE OR REPLACE FUNCTION emailmcp.unpark_jobs(p_tenant_id text, p_user_id text) RETURNS bigint
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moved bigint;
  boxes text[];
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  UPDATE send_jobs SET run_at = clock_timestamp(), parked = NULL
    WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C" AND parked = 'reauth_required'
      AND lease_until IS NULL;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved > 0 THEN
    SELECT array_agg(DISTINCT mailbox) INTO boxes FROM send_jobs
      WHERE tenant_id = p_tenant_id COLLATE "C" AND user_id = p_user_id COLLATE "C";
    PERFORM emailmcp.wake_mailboxes(boxes, array_fill(clock_timestamp(), ARRAY[cardinality(boxes)]));
  END IF;
  RETURN moved;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
