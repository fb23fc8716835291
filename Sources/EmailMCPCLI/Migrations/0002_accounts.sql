-- Connecting a mailbox: flows under way, connected accounts, sealed secrets.
--
-- "sealed" columns are one self-describing blob each (format version, key id, nonce, AES-256-GCM ciphertext, tag); the
-- associated data binds it to tenant, user, provider and purpose, so a row copied elsewhere does not open.

CREATE TABLE oauth_flows (
  tenant_id       text COLLATE "C" NOT NULL REFERENCES tenants (id),
  state_hash      bytea NOT NULL CHECK (octet_length(state_hash) = 32),   -- SHA-256 of the state
  user_id         text COLLATE "C" NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 255),
  redirect_url    text NOT NULL,
  nonce           text NOT NULL,
  verifier_sealed bytea NOT NULL,                                         -- PKCE
  expected_email  text,
  credential_id   text,
  code_sealed     bytea,                                                  -- Google's code, for at most 120 s
  code_handle_hash bytea CHECK (octet_length(code_handle_hash) = 32),     -- SHA-256 of the one-time handle
  code_expires_at timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, state_hash)
);
CREATE INDEX oauth_flows_state ON oauth_flows (state_hash);
CREATE INDEX oauth_flows_expiry ON oauth_flows (expires_at);
ALTER TABLE oauth_flows ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_flows FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oauth_flows
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY lookup ON oauth_flows FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'lookup');
CREATE POLICY purge ON oauth_flows TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'purge' AND expires_at < now());
GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_flows TO emailmcp_service;

-- One row a user and provider; it stays after a disconnect (the profile tells "disconnected" from "never connected").
CREATE TABLE user_email_accounts (
  tenant_id                text COLLATE "C" NOT NULL REFERENCES tenants (id),
  user_id                  text COLLATE "C" NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 255),
  provider                 text COLLATE "C" NOT NULL DEFAULT 'gmail_api',
  id                       uuid NOT NULL DEFAULT gen_random_uuid(),
  email_address            text NOT NULL,
  google_sub               text COLLATE "C" NOT NULL,       -- the account's identity: an address can change
  refresh_token_secret_arn text,                            -- where the vault keeps the refresh token; null: removed
  status                   text NOT NULL CHECK (status IN ('active', 'reauth_required', 'disconnected')),
  reauth_reason            text,
  scopes                   text[] NOT NULL DEFAULT '{}',
  grant_version            bigint NOT NULL DEFAULT 1,       -- one more with every new grant: fences a late refresh
  token_version            bigint NOT NULL DEFAULT 0,       -- one more with every access token: names it in a refusal
  access_token_sealed      bytea,
  access_token_expires_at  timestamptz,
  refresh_token_expires_at timestamptz,
  refresh_lease_owner      text,                            -- one refresh at a time, across replicas
  refresh_lease_until      timestamptz,
  created_at               timestamptz NOT NULL DEFAULT now(),
  connected_at             timestamptz NOT NULL DEFAULT now(),
  disconnected_at          timestamptz,
  updated_at               timestamptz NOT NULL DEFAULT now(),
  last_used_at             timestamptz,
  PRIMARY KEY (tenant_id, user_id, provider)
) WITH (fillfactor = 80);
CREATE INDEX user_email_accounts_sub ON user_email_accounts (google_sub);
ALTER TABLE user_email_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_email_accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON user_email_accounts
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY lookup ON user_email_accounts FOR SELECT TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'lookup');
GRANT SELECT, INSERT, UPDATE ON user_email_accounts TO emailmcp_service;

-- The sealed vault. `deleted_at` starts the recovery window; a put within it restores, `purge_at` ends it.
CREATE TABLE vault_secrets (
  tenant_id  text COLLATE "C" NOT NULL,
  user_id    text COLLATE "C" NOT NULL,
  provider   text COLLATE "C" NOT NULL,
  purpose    text COLLATE "C" NOT NULL,
  key_id     text NOT NULL,
  nonce      bytea NOT NULL CHECK (octet_length(nonce) = 12),
  ciphertext bytea NOT NULL,                                              -- with its 16-byte tag
  version    bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  purge_at   timestamptz,
  PRIMARY KEY (tenant_id, user_id, provider, purpose)
);
CREATE INDEX vault_secrets_purge ON vault_secrets (purge_at) WHERE purge_at IS NOT NULL;
ALTER TABLE vault_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_secrets
  USING (tenant_id = nullif(current_setting('emailmcp.tenant_id', true), ''));
CREATE POLICY purge ON vault_secrets TO CURRENT_USER
  USING (current_setting('emailmcp.scope', true) = 'purge' AND purge_at < now());
GRANT SELECT, INSERT, UPDATE, DELETE ON vault_secrets TO emailmcp_service;

-- The tenant of a flow, by its state: our own GET callback has the state and nothing else. The state is the capability
-- (256 random bits); everything after this runs in that tenant's transaction.
CREATE FUNCTION emailmcp.find_oauth_flow_tenant(p_state_hash bytea) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  result text;
BEGIN
  PERFORM set_config('emailmcp.scope', 'lookup', true);
  result := (SELECT tenant_id FROM oauth_flows WHERE state_hash = p_state_hash AND expires_at > now());
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN result;
END $$;

-- How many connected users, of any tenant, share this Google account: Google revokes per project and account, so only
-- the last link may revoke.
CREATE FUNCTION emailmcp.count_google_links(p_google_sub text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
  outer_scope text := coalesce(current_setting('emailmcp.scope', true), '');
  result bigint;
BEGIN
  PERFORM set_config('emailmcp.scope', 'lookup', true);
  result := (SELECT count(*) FROM user_email_accounts
  WHERE google_sub = p_google_sub COLLATE "C" AND status = 'active');
  PERFORM set_config('emailmcp.scope', outer_scope, true);
  RETURN result;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA emailmcp FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA emailmcp TO emailmcp_service;
