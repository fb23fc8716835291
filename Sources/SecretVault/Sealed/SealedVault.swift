package import PostgresClient
package import TLSSession

/// Secrets as AES-256-GCM rows of `vault_secrets`. The associated data binds a row to tenant, user, provider, purpose
/// and key, so that one copied to another place does not open.
package final class SealedVault: SecretVault {
  private let pool: PostgresPool
  private let keys: Keyring
  private let recoveryWindow: Duration

  private static let purpose = "grant"

  /// - Parameter keys: newest first; the newest seals, all open. A row under an older key is sealed again when it is read.
  package init(pool: PostgresPool, keys: Keyring, recoveryWindow: Duration = .seconds(30 * 86_400)) {
    self.pool = pool
    self.keys = keys
    self.recoveryWindow = recoveryWindow
  }

  package func put(_ secret: UserSecret, for owner: SecretOwner) async throws(VaultError) -> String {
    let sealed = try seal(secret, owner)
    try await database {
      try await pool.query(
        """
        INSERT INTO vault_secrets AS v (tenant_id, user_id, provider, purpose, key_id, nonce, ciphertext)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tenant_id, user_id, provider, purpose) DO UPDATE
          SET key_id = excluded.key_id, nonce = excluded.nonce, ciphertext = excluded.ciphertext,
              version = v.version + 1, updated_at = now(), deleted_at = NULL, purge_at = NULL
        """,
        [
          .text(owner.tenant), .text(owner.user), .text(owner.provider), .text(Self.purpose), .text(keys.newest.id),
          .bytes(sealed.nonce), .bytes(sealed.ciphertext),
        ], tenant: owner.tenant)
    }
    return "sealed:\(SecretName(owner).text)"
  }

  package func get(_ owner: SecretOwner) async throws(VaultError) -> UserSecret? {
    let found: (keyID: String, sealed: AESGCM.Sealed, version: Int64)? = try await database {
      let rows = try await pool.query(
        """
        SELECT key_id, nonce, ciphertext, version FROM vault_secrets
        WHERE tenant_id = $1 AND user_id = $2 AND provider = $3 AND purpose = $4 AND deleted_at IS NULL
        """,
        [.text(owner.tenant), .text(owner.user), .text(owner.provider), .text(Self.purpose)], tenant: owner.tenant)
      guard let row = rows.first else { return nil }
      return (try row[0], AESGCM.Sealed(nonce: try row[1], ciphertext: try row[2]), try row[3])
    }
    guard let found else { return nil }
    guard let key = keys[found.keyID] else {
      throw VaultError(
        .unknownKey, "a secret is sealed under the key \"\(found.keyID)\", which is not in EMAILMCP_VAULT_KEYS")
    }
    guard
      let plain = try? AESGCM.open(found.sealed, key: key.secret, authenticating: Self.binding(owner, key.id))
    else { throw VaultError(.corrupt, "a sealed secret does not open") }
    let secret = try UserSecret(json: plain.revealed)
    if key.id != keys.newest.id { await sealAgain(secret, owner, version: found.version) }
    return secret
  }

  package func delete(_ owner: SecretOwner) async throws(VaultError) {
    try await database {
      try await pool.query(
        """
        UPDATE vault_secrets SET deleted_at = now(), purge_at = now() + make_interval(secs => $5)
        WHERE tenant_id = $1 AND user_id = $2 AND provider = $3 AND purpose = $4 AND deleted_at IS NULL
        """,
        [
          .text(owner.tenant), .text(owner.user), .text(owner.provider), .text(Self.purpose), .seconds(recoveryWindow),
        ], tenant: owner.tenant)
    }
  }

  /// The sealed vault holds users' secrets only: the client's come from the settings.
  package func oauthClient() async throws(VaultError) -> OAuthClientSecret? { nil }

  // MARK: Sealing

  private func seal(_ secret: UserSecret, _ owner: SecretOwner) throws(VaultError) -> AESGCM.Sealed {
    do {
      return try AESGCM.seal(
        secret.json, key: keys.newest.secret, authenticating: Self.binding(owner, keys.newest.id))
    } catch {
      throw VaultError(.unavailable, "sealing failed")
    }
  }

  /// Moves a row to the newest key, unless somebody wrote it meanwhile. A failure costs nothing: the old key still opens.
  private func sealAgain(_ secret: UserSecret, _ owner: SecretOwner, version: Int64) async {
    guard let sealed = try? seal(secret, owner) else { return }
    _ = try? await pool.query(
      """
      UPDATE vault_secrets SET key_id = $5, nonce = $6, ciphertext = $7, version = version + 1, updated_at = now()
      WHERE tenant_id = $1 AND user_id = $2 AND provider = $3 AND purpose = $4 AND version = $8 AND deleted_at IS NULL
      """,
      [
        .text(owner.tenant), .text(owner.user), .text(owner.provider), .text(Self.purpose), .text(keys.newest.id),
        .bytes(sealed.nonce), .bytes(sealed.ciphertext), .int8(version),
      ], tenant: owner.tenant)
  }

  static func binding(_ owner: SecretOwner, _ keyID: String) -> [UInt8] {
    ColumnSeal.binding(["emailmcp.vault.v1", owner.tenant, owner.user, owner.provider, purpose, keyID])
  }

  @discardableResult
  private func database<Value>(_ body: () async throws -> Value) async throws(VaultError) -> Value {
    do {
      return try await body()
    } catch let error as PostgresError {
      throw VaultError(error.isUnavailable ? .unavailable : .denied, "the vault's database: \(error.code)")
    } catch {
      throw VaultError(.cancelled, "the task was cancelled")
    }
  }
}
