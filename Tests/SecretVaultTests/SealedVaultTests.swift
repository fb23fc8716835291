import PostgresClient
import TLSSession
import TestSupport
import Testing

@testable import SecretVault

@Suite struct SealedVaultTests {
  private let owner = SecretOwner(tenant: "default", user: "u")

  @Test("a row that was copied to another user does not open")
  func copiedRow() async throws {
    let database = try await PostgresFixture.database()
    let owner = owner
    try await database.withPool { pool in
      let vault = SealedVault(pool: pool, keys: Keyring(generating: "k1"))
      _ = try await vault.put(UserSecret(refreshToken: SecretBytes("mine")), for: owner)
      try await pool.query(
        """
        INSERT INTO vault_secrets (tenant_id, user_id, provider, purpose, key_id, nonce, ciphertext)
        SELECT tenant_id, 'thief', provider, purpose, key_id, nonce, ciphertext FROM vault_secrets
        """, tenant: "default")
      let error = await vaultFailure { try await vault.get(SecretOwner(tenant: "default", user: "thief")) }
      #expect(error?.code == .corrupt)
    }
  }

  @Test("a rotated key ring opens old rows, and moves them to the newest key")
  func rotation() async throws {
    let database = try await PostgresFixture.database()
    let owner = owner
    let old = Keyring(generating: "old")
    let new = Keyring(generating: "new")
    let both = try Keyring(parsing: new.revealedText + "," + old.revealedText)
    try await database.withPool { pool in
      _ = try await SealedVault(pool: pool, keys: old).put(UserSecret(refreshToken: SecretBytes("t")), for: owner)
      let alone = SealedVault(pool: pool, keys: new)
      let error = await vaultFailure { try await alone.get(owner) }
      #expect(error?.code == .unknownKey)
      let moved = try await SealedVault(pool: pool, keys: both).get(owner)
      #expect(moved?.refreshToken == SecretBytes("t"))
      let after = try await alone.get(owner)
      #expect(after?.refreshToken == SecretBytes("t"))
    }
  }

  @Test("the token is nowhere in the table in the clear, and a deleted row ends after its recovery window")
  func atRest() async throws {
    let database = try await PostgresFixture.database()
    let owner = owner
    try await database.withPool { pool in
      let vault = SealedVault(pool: pool, keys: Keyring(generating: "k1"), recoveryWindow: .zero)
      _ = try await vault.put(UserSecret(refreshToken: SecretBytes("canary-token")), for: owner)
      let rows = try await pool.query(
        "SELECT count(*) FROM vault_secrets v WHERE position('canary'::bytea IN ciphertext) > 0", tenant: "default")
      #expect(try rows.only()[0] == 0)
      func purge() async throws -> Int { try await pool.query("SELECT emailmcp.purge_expired()").only()[0] }
      try await SealedVault(pool: pool, keys: Keyring(generating: "k1")).delete(owner)
      #expect(try await purge() == 0)
      _ = try await vault.put(UserSecret(refreshToken: SecretBytes("again")), for: owner)
      try await vault.delete(owner)
      #expect(try await purge() == 1)
    }
  }
}

func vaultFailure<T>(_ body: () async throws -> T) async -> VaultError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? VaultError
  }
}
