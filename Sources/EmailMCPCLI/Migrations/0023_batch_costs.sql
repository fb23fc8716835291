-- What a batch spent beyond its rows: SQL functions that the planner could not take apart, and a trigger for each status
-- of a tenant that has nobody to tell.

-- Declared immutable they held stable operators (a timestamp and an interval), so the planner could not put their bodies
-- where they are called: each was parsed and planned anew for every statement, and then run as a function a row.
ALTER FUNCTION emailmcp.pace_share(double precision, timestamptz, timestamptz) STABLE;
ALTER FUNCTION emailmcp.cut_share(double precision, timestamptz, timestamptz) STABLE;
ALTER FUNCTION emailmcp.paced_credit(timestamptz, integer, timestamptz, double precision, integer) STABLE;
ALTER FUNCTION emailmcp.paced_turn(
  timestamptz, integer, double precision, timestamptz, timestamptz, double precision, integer) STABLE;

-- Begins a batch: names the tenant, and has its statements planned once a connection, with every row found by its key,
-- whatever the tables' statistics say: a batch has few rows, and a plan made for few tenants must not read a whole table
-- later. Says also whether the tenant has anybody to tell of a status (`emailmcp.untold`): an endpoint that comes later
-- hears of the next batch.
CREATE OR REPLACE FUNCTION emailmcp.begin_batch(p_tenant_id text) RETURNS void
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
  PERFORM set_config('emailmcp.tenant_id', p_tenant_id, true), set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_material', 'off', true),
    set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true);
  PERFORM FROM webhook_endpoints e WHERE e.tenant_id = p_tenant_id COLLATE "C" ORDER BY e.tenant_id, e.id LIMIT 1;
  PERFORM set_config('emailmcp.untold', CASE WHEN FOUND THEN '' ELSE p_tenant_id END, true);
END $$;

CREATE OR REPLACE TRIGGER tell_accepted AFTER INSERT ON email_logs
  FOR EACH ROW WHEN (NEW.tenant_id IS DISTINCT FROM current_setting('emailmcp.untold', true))
  EXECUTE FUNCTION emailmcp.tell_message_status();
CREATE OR REPLACE TRIGGER tell_changed AFTER UPDATE OF status ON email_logs
  FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NEW.tenant_id IS DISTINCT FROM current_setting('emailmcp.untold', true))
  EXECUTE FUNCTION emailmcp.tell_message_status();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
