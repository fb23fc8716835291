-- Request tokens for as many buckets at once as are asked for. At the default rates each request asks its user's bucket, so
-- this was a transaction a request. The form for one bucket of 0006 stays for the edges of the release before.

-- What the last caller was granted: an upsert can only tell what it leaves behind.
ALTER TABLE rate_limits ADD COLUMN last_grant integer NOT NULL DEFAULT 0;
-- Every grant moved an entry of it. The purge, once a minute, can read the table instead, which holds what was used within
-- an hour or two.
DROP INDEX rate_limits_tat;

CREATE FUNCTION emailmcp.tokens_granted(
  p_tat timestamptz, p_moment timestamptz, p_per_second double precision, p_burst integer, p_want integer)
RETURNS integer
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN p_tat <= p_moment THEN p_want ELSE greatest(0, least(p_want,
    floor(p_burst - date_part('epoch', p_tat - p_moment) * p_per_second + 1e-6)))::integer END
$$;

-- Takes up to `p_want` tokens, at most `p_burst`, from each of the tenant's buckets `p_keys`, no key twice, which refill at
-- `p_per_second` and hold `p_burst`. Rows are locked in the order of their keys. Who waited for a row counts from before
-- that, and is granted less for it, never more. `retry_after` is in seconds, 0 where all were granted.
CREATE FUNCTION emailmcp.take_tokens(
  p_tenant_id text, p_per_second double precision, p_burst integer, p_keys text[], p_want integer[])
RETURNS TABLE (key text, granted integer, retry_after double precision)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  moment timestamptz := clock_timestamp();
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true);
  IF p_per_second <= 0 OR p_burst < 1 OR 1 > ANY (p_want) OR p_burst < ANY (p_want) THEN
    RAISE EXCEPTION 'rate, burst and want must be positive, want at most burst' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN QUERY
  WITH asked AS MATERIALIZED (
    SELECT a.key COLLATE "C" AS key, a.want FROM unnest(p_keys, p_want) AS a (key, want)
  ), taken AS (
    INSERT INTO rate_limits AS r (tenant_id, key, tat, last_grant)
    SELECT p_tenant_id, a.key, moment + make_interval(secs => a.want / p_per_second), a.want FROM asked a ORDER BY a.key
    ON CONFLICT (tenant_id, key) DO UPDATE SET
      last_grant = emailmcp.tokens_granted(r.tat, moment, p_per_second, p_burst, excluded.last_grant),
      tat = greatest(r.tat, moment) + make_interval(secs =>
        emailmcp.tokens_granted(r.tat, moment, p_per_second, p_burst, excluded.last_grant) / p_per_second)
    RETURNING r.key, r.tat, r.last_grant
  )
  SELECT t.key, t.last_grant, CASE WHEN t.last_grant = a.want THEN 0
      ELSE greatest(0, date_part('epoch', t.tat - moment) - (p_burst - 1) / p_per_second) END
    FROM asked a JOIN taken t ON t.key = a.key;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
