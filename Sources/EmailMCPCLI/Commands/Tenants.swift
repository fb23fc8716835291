import ArgumentParser
import PostgresClient
import ServiceKit
import TLSSession

/// Tenants and their keys, as the owner of the database administers them. Every change leaves an audit event.
struct Tenants {
  private let session: BlockingSession

  init(url: String) throws { session = try BlockingSession(url: url) }

  /// Over a session that another part of the program works with, for its checks and its audit events.
  init(_ session: BlockingSession) { self.session = session }

  // MARK: Tenants

  func create(_ name: String, ifMissing: Bool = false) throws {
    try checkName(name)
    try session.transaction(tenant: name) {
      let made = try session.execute(
        "INSERT INTO tenants (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id", [name])
      if made.isEmpty {
        if ifMissing { return }
        throw ValidationError("the tenant \"\(name)\" exists already")
      }
      try audit(name, "tenant.created", target: name)
    }
  }

  func list() throws -> [(name: String, createdAt: String, isDisabled: Bool)] {
    try session.transaction {
      try session.execute(
        """
        SELECT id, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), disabled_at
        FROM tenants ORDER BY id
        """
      ).map { ($0[0]!, $0[1]!, $0[2] != nil) }
    }
  }

  func addRedirect(_ tenant: String, _ url: String) throws {
    guard let scheme = ["https://", "http://"].first(where: url.hasPrefix), url.utf8.count <= 2048,
      !url.dropFirst(scheme.count).isEmpty, !url.contains("#"), !url.contains(where: \.isWhitespace)
    else { throw ValidationError("a redirect URL is an http or https URL without a fragment, of at most 2048 bytes") }
    try insert(tenant, "redirect.added", url, "INSERT INTO redirect_urls (tenant_id, url) VALUES ($1, $2)")
  }

  func addOrigin(_ tenant: String, _ origin: String) throws {
    let host = origin.split(separator: "://", maxSplits: 1)
    guard host.count == 2, ["https", "http"].contains(host[0]), !host[1].contains("/"), origin.utf8.count <= 512,
      origin.lowercased() == origin
    else { throw ValidationError("an origin is scheme://host or scheme://host:port in lower case, without a path") }
    try insert(tenant, "origin.added", origin, "INSERT INTO allowed_origins (tenant_id, origin) VALUES ($1, $2)")
  }

  func removeRedirect(_ tenant: String, _ url: String) throws {
    try delete(tenant, "redirect.removed", url, "DELETE FROM redirect_urls WHERE tenant_id = $1 AND url = $2")
  }

  func removeOrigin(_ tenant: String, _ origin: String) throws {
    try delete(tenant, "origin.removed", origin, "DELETE FROM allowed_origins WHERE tenant_id = $1 AND origin = $2")
  }

  func disable(_ name: String) throws { try settle(name, "tenant.disabled", "clock_timestamp()", where: "IS NULL") }

  func enable(_ name: String) throws { try settle(name, "tenant.enabled", "NULL", where: "IS NOT NULL") }

  /// After the steps of this tenant's mail that are being committed, before all others. The mailers do what is left to do
  /// about the queue.
  private func settle(_ name: String, _ action: String, _ time: String, where condition: String) throws {
    try session.transaction(tenant: name) {
      try requireTenant(name)
      try session.execute("SELECT pg_advisory_xact_lock(emailmcp.tenant_lock($1))", [name])
      let changed = try session.execute(
        """
        UPDATE tenants SET disabled_at = \(time), held_at = NULL WHERE id = $1 AND disabled_at \(condition) RETURNING 1
        """, [name])
      if !changed.isEmpty { try audit(name, action, target: name) }
    }
  }

  /// A tenant's state and how much mail of it waits (counted to 100,000), each a word and its text.
  func state(_ tenant: String) throws -> [(kind: String, value: String)] {
    try session.transaction(tenant: tenant) {
      try requireTenant(tenant)
      return try session.execute(
        """
        SELECT 'state', coalesce('disabled since ' || to_char(disabled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
          'active') FROM tenants WHERE id = $1
        UNION ALL SELECT 'unsent', emailmcp.count_unsent($1, 100000)::text
        """, [tenant]
      ).map { ($0[0]!, $0[1]!) }
    }
  }

  /// What is registered for a tenant, as `redirect` or `origin` and its text.
  func registered(_ tenant: String) throws -> [(kind: String, value: String)] {
    try session.transaction(tenant: tenant) {
      try requireTenant(tenant)
      return try session.execute(
        """
        SELECT 'redirect', url FROM redirect_urls WHERE tenant_id = $1
        UNION ALL SELECT 'origin', origin FROM allowed_origins WHERE tenant_id = $1 ORDER BY 1 DESC, 2
        """, [tenant]
      ).map { ($0[0]!, $0[1]!) }
    }
  }

  private func delete(_ tenant: String, _ action: String, _ value: String, _ statement: String) throws {
    try session.transaction(tenant: tenant) {
      try requireTenant(tenant)
      guard try !session.execute("\(statement) RETURNING 1", [tenant, value]).isEmpty else {
        throw ValidationError("\(value) is not registered for the tenant \"\(tenant)\"; emailmcp tenant show \(tenant)")
      }
      try audit(tenant, action, target: value)
    }
  }

  private func insert(_ tenant: String, _ action: String, _ value: String, _ statement: String) throws {
    try session.transaction(tenant: tenant) {
      try requireTenant(tenant)
      let made = try session.execute("\(statement) ON CONFLICT DO NOTHING RETURNING 1", [tenant, value])
      if !made.isEmpty { try audit(tenant, action, target: value) }
    }
  }

  // MARK: Keys

  static let scopes = ["connect", "send", "read", "reports", "reports:summary", "admin"]

  func createKey(
    _ tenant: String, scopes: [String], environment: APIKey.Environment, expiresIn: Duration?, peppers: Keyring,
    rotatedFrom: String? = nil
  ) throws -> APIKey {
    var granted: [String] = []
    for scope in scopes where !granted.contains(scope) {
      guard Self.scopes.contains(scope) else {
        throw ValidationError("\"\(scope)\" is no scope; there are \(Self.scopes.joined(separator: ", "))")
      }
      granted.append(scope)
    }
    guard expiresIn != .zero else { throw ValidationError("a key lives for a second at least") }
    let key = APIKey(generating: environment)
    try session.transaction(tenant: tenant) {
      try requireTenant(tenant)
      try session.execute(
        """
        INSERT INTO api_keys (tenant_id, id, env, secret_hmac, scopes, rotated_from, expires_at)
        VALUES ($1, $2, $3, decode($4, 'hex'), string_to_array($5, ','), $6, now() + make_interval(secs => $7::float8))
        """,
        [
          tenant, key.id, environment.rawValue, Hex.encode(key.authenticator(peppers: peppers)),
          granted.joined(separator: ","), rotatedFrom, expiresIn.map { String($0.components.seconds) },
        ])
      try audit(tenant, rotatedFrom == nil ? "key.created" : "key.rotated", target: key.id)
    }
    return key
  }

  struct Key {
    let tenant, id, environment, scopes, createdAt: String
    let expiresAt, revokedAt: String?
    /// From its beginning to its end; nil: it has none.
    let lifetime: Duration?
  }

  func keys() throws -> [Key] {
    try session.transaction {
      try session.execute(
        """
        SELECT tenant_id, id, env, array_to_string(scopes, ','), created_at::timestamptz(0)::text,
               expires_at::timestamptz(0)::text, revoked_at::timestamptz(0)::text,
               extract(epoch FROM expires_at - created_at)::bigint
        FROM api_keys ORDER BY tenant_id, created_at, id
        """
      ).map {
        Key(
          tenant: $0[0]!, id: $0[1]!, environment: $0[2]!, scopes: $0[3]!, createdAt: $0[4]!, expiresAt: $0[5],
          revokedAt: $0[6], lifetime: $0[7].flatMap { Int64($0) }.map { .seconds($0) })
      }
    }
  }

  /// Makes a second key of the same rights and with as long a life. The old one lives on until it ends or is revoked.
  func rotateKey(_ id: String, peppers: Keyring) throws -> APIKey {
    let old = try requireKey(id)
    guard old.revokedAt == nil else { throw ValidationError("the key \(id) is revoked; create a new one") }
    return try createKey(
      old.tenant, scopes: old.scopes.split(separator: ",").map(String.init),
      environment: APIKey.Environment(rawValue: old.environment)!, expiresIn: old.lifetime, peppers: peppers,
      rotatedFrom: id)
  }

  func revokeKey(_ id: String) throws {
    let key = try requireKey(id)
    try session.transaction(tenant: key.tenant) {
      let revoked = try session.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id", [id])
      if !revoked.isEmpty { try audit(key.tenant, "key.revoked", target: id) }
    }
  }

  /// Whether the key is there and neither revoked nor expired.
  func isLive(_ key: APIKey, peppers: Keyring) throws -> Bool {
    let rows = try session.transaction {
      try session.execute(
        """
        SELECT encode(secret_hmac, 'hex') FROM api_keys
        WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        """, [key.id])
    }
    guard let authenticator = rows.first?[0].flatMap({ Hex.decode($0) }) else { return false }
    return key.pepper(of: authenticator, among: peppers) != nil
  }

  // MARK: Checks

  private func requireKey(_ id: String) throws -> Key {
    guard let key = try keys().first(where: { $0.id == id }) else { throw ValidationError("there is no key \(id)") }
    return key
  }

  func requireTenant(_ name: String) throws {
    guard try !session.execute("SELECT 1 FROM tenants WHERE id = $1", [name]).isEmpty else {
      throw ValidationError("there is no tenant \"\(name)\"; emailmcp tenant create \(name)")
    }
  }

  private func checkName(_ name: String) throws {
    let isAllowed = name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
    guard 1...63 ~= name.utf8.count, isAllowed, !name.hasPrefix("-"), !name.hasSuffix("-") else {
      throw ValidationError("a tenant's name has 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -")
    }
  }

  func audit(_ tenant: String, _ action: String, target: String) throws {
    try session.execute(
      "INSERT INTO audit_events (tenant_id, actor, action, target) VALUES ($1, 'owner', $2, $3)",
      [tenant, action, target])
  }
}
