import CivilTime
import EventLoop
import Logging
@testable import PostgresClient
import SecretVault
import Synchronization
import TLSSession
import TestSupport
import Testing

@testable import OAuthService

@Suite("Replicas")
struct ReplicasTests {
  /// What the replicas' Googles saw together.
  final class Ledger: Sendable {
    let refreshes = Mutex(0)
  }

  /// Answers each refresh with another token, after a while.
  final class SlowGoogle: GoogleOAuth {
    private let ledger: Ledger
    private let reactor: Reactor

    init(_ ledger: Ledger, _ reactor: Reactor) {
      self.ledger = ledger
      self.reactor = reactor
    }

    func refresh(_ refreshToken: SecretBytes) async throws -> TokenAnswer {
      let number = ledger.refreshes.withLock { count in
        count += 1
        return count
      }
      try await reactor.sleep(for: .milliseconds(200))
      return grant(access: "access-\(number + 1)")
    }

    func exchange(code: SecretBytes, verifier: PKCEVerifier) async throws -> TokenAnswer { .unavailable }
    func revoke(_ token: SecretBytes) async throws -> Bool { true }
    func signingKey(_ id: String) async throws -> PublicKey? { nil }
  }

  @Test("A thousand callers on three replicas with an expired token: one refresh, no write to the vault")
  func oneRefresh() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("default")
    let user = UserKey(tenant: "default", user: "u1")
    let keys = Keyring(generating: "k1")
    let source = GoogleClientSource(nil)
    try await database.withPool { pool in
      let grants = VaultGrants(SealedVault(pool: pool, keys: keys), client: source, logger: .silent)
      let name = try await grants.put(StoredGrant(refreshToken: SecretBytes("r"), googleSub: "sub-1"), for: user)
      try await PostgresAccounts(pool).connect(
        user,
        NewConnection(
          identity: GoogleIdentity(subject: "sub-1", email: "ann@example.com", isEmailVerified: true),
          scopes: GoogleScope.requested,
          sealedAccessToken: try KeyringSealer(keys).seal(SecretBytes("access-1"), .accessToken, user),
          accessTokenExpiry: .now() - .seconds(1), refreshTokenExpiry: nil, secretName: name, actor: "k"))
    }
    let ledger = Ledger()
    try await withThrowingTaskGroup(of: Set<String>.self) { group in
      for _ in 0..<3 {
        group.addTask {
          try await database.withPool { pool in
            let keeper = TokenKeeper(
              reactor: pool.reactor, google: SlowGoogle(ledger, pool.reactor), accounts: PostgresAccounts(pool),
              vault: VaultGrants(SealedVault(pool: pool, keys: keys), client: source, logger: .silent),
              sealer: KeyringSealer(keys), logger: .silent)
            var tasks: [Task<String, any Error>] = []
            for _ in 0..<334 {
              tasks.append(
                pool.reactor.spawn { try await keeper.accessToken(of: user, TokenDemand()).token.revealedText })
            }
            var tokens: Set<String> = []
            for task in tasks { tokens.insert(try await task.value) }
            await keeper.drain()
            return tokens
          }
        }
      }
      for try await tokens in group { #expect(tokens == ["access-2"]) }
    }
    #expect(ledger.refreshes.withLock { $0 } == 1)
    let versions = try database.execute("SELECT version FROM vault_secrets")
    #expect(versions == [["1"]])
  }
}
