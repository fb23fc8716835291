-- The quota of the Google project, which all mailers share. Each takes some requests in advance, a moment's worth, so that
-- the row is locked some times a second and not for each mail.

CREATE TABLE project_pace (
  project      text COLLATE "C" PRIMARY KEY,
  paid_until   timestamptz NOT NULL DEFAULT '-infinity',    -- one interval further with every request that was given out
  share        double precision NOT NULL DEFAULT 1,         -- of its pace, learnt from Gmail's refusals
  share_at     timestamptz NOT NULL DEFAULT '-infinity',
  paused_until timestamptz NOT NULL DEFAULT '-infinity'     -- Gmail said that the project's day is over, or when to come back
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE project_pace ENABLE ROW LEVEL SECURITY;
ALTER TABLE project_pace FORCE ROW LEVEL SECURITY;
CREATE POLICY everyone ON project_pace USING (true);
GRANT SELECT, INSERT, UPDATE ON project_pace TO emailmcp_service;
INSERT INTO project_pace (project) VALUES ('gmail');

-- Gives out up to `p_want` requests. `p_interval`: seconds a request at full pace; `p_burst`: for how many seconds' worth of
-- them may be given out at once after a rest. Answers with what the project's share is, and for how long it is paused.
-- Not synced: a crash of the database takes longer than what it forgets.
CREATE FUNCTION emailmcp.take_project(p_want integer, p_interval double precision, p_burst double precision)
RETURNS TABLE (granted integer, share double precision, paused double precision)
LANGUAGE plpgsql SECURITY INVOKER
AS $$
#variable_conflict use_column
DECLARE
  row project_pace;
  moment timestamptz;
  pace double precision;
  ahead double precision;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  SELECT * INTO row FROM project_pace p WHERE p.project = 'gmail' FOR UPDATE;
  moment := clock_timestamp();
  share := emailmcp.pace_share(row.share, row.share_at, moment);
  paused := CASE WHEN row.paused_until > moment THEN extract(epoch FROM row.paused_until - moment) ELSE 0 END;
  pace := p_interval / share;
  ahead := CASE WHEN row.paid_until > moment THEN extract(epoch FROM row.paid_until - moment) ELSE 0 END;
  granted := CASE WHEN paused > 0 THEN 0
    ELSE greatest(0, least(p_want, floor((greatest(p_burst, pace) - ahead) / pace + 1e-6))) END;
  IF granted > 0 THEN
    UPDATE project_pace SET paid_until = moment + (ahead + granted * pace) * interval '1 second'
      WHERE project = 'gmail';
  END IF;
  RETURN NEXT;
END $$;

-- Gmail refused for the whole project: nothing is given out for `p_pause` seconds, and where it was too fast (`p_cut`) less
-- afterwards.
CREATE FUNCTION emailmcp.slow_project(p_pause double precision, p_cut boolean) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
  moment timestamptz := clock_timestamp();
BEGIN
  UPDATE project_pace
    SET paused_until = greatest(paused_until, moment + p_pause * interval '1 second'),
        share = CASE WHEN p_cut THEN emailmcp.cut_share(share, share_at, moment) ELSE share END,
        share_at = CASE WHEN p_cut AND share_at <= moment - interval '10 seconds' THEN moment ELSE share_at END
    WHERE project = 'gmail';
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
