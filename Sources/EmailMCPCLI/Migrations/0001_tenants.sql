-- Tenants, their credentials, and the rules of isolation that every later migration follows.
--
-- Isolation. Every table that holds a tenant's data has `tenant_id`, and row-level security is enabled *and forced*
-- (so it binds the owner too). A transaction names its tenant once:
--     SELECT set_config('emailmcp.tenant_id', $1, true)
-- and sees and writes that tenant's rows only, whatever its WHERE says. Without a tenant it sees nothing.
--
-- Work that must cross tenants (finding a key's tenant, claiming from the queue, folding totals, purging) is done by
-- the functions of schema `emailmcp` and by nothing else. They are SECURITY DEFINER, owned by the owner of the tables,
-- and set `emailmcp.scope` while they run; a policy "TO CURRENT_USER" (the owner, at the time of the migration) admits
-- exactly that scope, on the tables and commands the function needs. A service's own login is not the owner: setting
-- `emailmcp.scope` by itself gains it nothing. No role with BYPASSRLS exists, so this also works on managed Postgres,
-- where a function's own SET clause would need a superuser too: hence the pair of set_config calls in each.
--
-- Scopes: lookup (a tenant by an unguessable or public handle), queue, fold, purge, partition, admin (the command line,
-- as the owner, listing tenants and keys).

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'emailmcp_service') THEN
    CREATE ROLE emailmcp_service NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this cluster was faster
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the owner of the database may not create roles'
      USING HINT = 'Let a database administrator run: CREATE ROLE emailmcp_service NOLOGIN;';
END $$;

CREATE SCHEMA emailmcp;
GRANT USAGE ON SCHEMA emailmcp TO emailmcp_service;
GRANT USAGE ON SCHEMA public TO emailmcp_service;

-- A tenant's id is its name: it stands in secret names and in every key, and never changes.
CREATE TABLE tenants (
  id          text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  created_at  timestamptz NOT NULL DEFAULT now(),
  disabled_at timestamptz
);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants
  USING (id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY lookup ON tenants FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) IN ('lookup', 'admin'));
GRANT SELECT ON tenants TO emailmcp_service;

-- `emcp_<env>_<id>_<secret>`: only an HMAC-SHA-256 (with the pepper) of the secret is kept.
CREATE TABLE api_keys (
  tenant_id    text COLLATE "C" NOT NULL REFERENCES tenants (id),
  id           text COLLATE "C" NOT NULL CHECK (id ~ '^[A-Za-z0-9]{8,40}$'),
  env          text NOT NULL DEFAULT 'live' CHECK (env IN ('live', 'test')),
  secret_hmac  bytea NOT NULL CHECK (octet_length(secret_hmac) = 32),
  scopes       text[] NOT NULL
    CHECK (scopes <@ ARRAY['connect', 'send', 'read', 'reports', 'reports:summary', 'admin'] AND cardinality(scopes) > 0),
  name         text,
  rotated_from text COLLATE "C",
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz,
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX api_keys_id ON api_keys (id);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY lookup ON api_keys FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) IN ('lookup', 'admin'));
GRANT SELECT, UPDATE (last_used_at) ON api_keys TO emailmcp_service;

-- Where a connection may end: compared exactly (scheme, host, port, path).
CREATE TABLE redirect_urls (
  tenant_id  text COLLATE "C" NOT NULL REFERENCES tenants (id),
  url        text COLLATE "C" NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 2048),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, url)
);
ALTER TABLE redirect_urls ENABLE ROW LEVEL SECURITY;
ALTER TABLE redirect_urls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON redirect_urls
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
GRANT SELECT ON redirect_urls TO emailmcp_service;

-- Origins whose pages may call with a user token (CORS).
CREATE TABLE allowed_origins (
  tenant_id  text COLLATE "C" NOT NULL REFERENCES tenants (id),
  origin     text COLLATE "C" NOT NULL CHECK (octet_length(origin) BETWEEN 1 AND 512),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, origin)
);
CREATE INDEX allowed_origins_origin ON allowed_origins (origin);
ALTER TABLE allowed_origins ENABLE ROW LEVEL SECURITY;
ALTER TABLE allowed_origins FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON allowed_origins
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY lookup ON allowed_origins FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'lookup');
GRANT SELECT ON allowed_origins TO emailmcp_service;

-- The key with this id, of whichever tenant: what the edge needs to check a credential. The caller compares the HMAC.
CREATE FUNCTION emailmcp.find_api_key(p_id text)
RETURNS TABLE (
  tenant_id text, env text, secret_hmac bytea, scopes text[], expires_at timestamptz, revoked_at timestamptz,
  tenant_disabled_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
BEGIN
  PERFORM set_config('emailmcp.scope', 'lookup', true);
  RETURN QUERY
  SELECT k.tenant_id, k.env, k.secret_hmac, k.scopes, k.expires_at, k.revoked_at, t.disabled_at
  FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
  WHERE k.id = p_id COLLATE "C";
  PERFORM set_config('emailmcp.scope', outer_scope, true);
END $$;

-- Whether any tenant allows this origin (a CORS preflight carries no credential).
CREATE FUNCTION emailmcp.origin_is_known(p_origin text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  result boolean;
BEGIN
  PERFORM set_config('emailmcp.scope', 'lookup', true);
  result := (SELECT EXISTS (SELECT FROM allowed_origins WHERE origin = p_origin COLLATE "C"));
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN result;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
