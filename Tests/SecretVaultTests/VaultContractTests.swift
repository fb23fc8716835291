import EventLoop
import HTTPSClient
import PostgresClient
import TLSSession
import TestSupport
import Testing

@testable import SecretVault

/// What every vault must do, whichever kind it is.
@Suite struct VaultContractTests {
  enum Kind: String, CaseIterable, Sendable {
    case sealed, aws

    static var available: [Kind] { SecretsManagerFixture.url == nil ? [.sealed] : allCases }
  }

  @Test("what was put is what is got, field by field", arguments: Kind.available)
  func roundTrip(kind: Kind) async throws {
    try await withVault(kind) { vault in
      let owner = SecretOwner(tenant: "default", user: unique("round"))
      let before = try await vault.get(owner)
      #expect(before == nil)
      var secret = UserSecret(
        refreshToken: SecretBytes("1//refresh \"é\u{1F511}"), googleSub: "sub", clientID: "client")
      secret.accessToken = SecretBytes("ya29")
      secret.expiresAt = "2026-11-22T10:39:00Z"
      let reference = try await vault.put(secret, for: owner)
      #expect(!reference.isEmpty && !reference.contains("refresh"))
      let got = try await vault.get(owner)
      #expect(got == secret)
    }
  }

  @Test("a second put replaces the first", arguments: Kind.available)
  func replace(kind: Kind) async throws {
    try await withVault(kind) { vault in
      let owner = SecretOwner(tenant: "default", user: unique("replace"))
      let first = try await vault.put(UserSecret(refreshToken: SecretBytes("one")), for: owner)
      let second = try await vault.put(UserSecret(refreshToken: SecretBytes("two")), for: owner)
      let got = try await vault.get(owner)
      #expect(got?.refreshToken == SecretBytes("two"))
      #expect(first == second)
    }
  }

  @Test(
    "a deleted secret is gone at once, deleting again succeeds, and a new grant brings it back",
    arguments: Kind.available)
  func deleteAndRestore(kind: Kind) async throws {
    try await withVault(kind) { vault in
      let owner = SecretOwner(tenant: "default", user: unique("delete"))
      try await vault.delete(owner)
      _ = try await vault.put(UserSecret(refreshToken: SecretBytes("one")), for: owner)
      try await vault.delete(owner)
      let gone = try await vault.get(owner)
      #expect(gone == nil)
      try await vault.delete(owner)
      _ = try await vault.put(UserSecret(refreshToken: SecretBytes("two")), for: owner)
      let back = try await vault.get(owner)
      #expect(back?.refreshToken == SecretBytes("two"))
    }
  }

  @Test("no user reaches another's secret by its id, nor a tenant another's", arguments: Kind.available)
  func separation(kind: Kind) async throws {
    try await withVault(kind) { vault in
      let base = unique("u")
      let owners =
        ["\(base)", "\(base)/gmail", "\(base)+2F", "\(base)/", "..", "\(base) ", "\(base)\u{E9}", "\(base)e\u{301}"]
        .map { SecretOwner(tenant: "default", user: $0) } + [SecretOwner(tenant: "other", user: base)]
      for (index, owner) in owners.enumerated() {
        _ = try await vault.put(UserSecret(refreshToken: SecretBytes("token \(index)")), for: owner)
      }
      for (index, owner) in owners.enumerated() {
        let got = try await vault.get(owner)
        #expect(got?.refreshToken == SecretBytes("token \(index)"))
      }
    }
  }

  @Test("many replicas that write the same secret at once all succeed", arguments: Kind.available)
  func concurrentWrites(kind: Kind) async throws {
    try await withVault(kind) { vault in
      let owner = SecretOwner(tenant: "default", user: unique("race"))
      try await withThrowingTaskGroup(of: Void.self) { group in
        nonisolated(unsafe) let vault = vault  // children stay on the loop
        for number in 0..<8 {
          group.addTask { _ = try await vault.put(UserSecret(refreshToken: SecretBytes("\(number)")), for: owner) }
        }
        try await group.waitForAll()
      }
      let got = try await vault.get(owner)
      #expect(got != nil)
    }
  }

  private func unique(_ text: String) -> String { text + Hex.encode(SecureRandom.bytes(6)) }

  private func withVault(_ kind: Kind, _ body: @Sendable (any SecretVault) async throws -> Void) async throws {
    switch kind {
    case .sealed:
      let database = try await PostgresFixture.database()
      let keys = Keyring(generating: "k1")
      try await database.withPool { try await body(SealedVault(pool: $0, keys: keys)) }
    case .aws:
      let url = try #require(SecretsManagerFixture.url)
      try await withAWS(["AWS_ENDPOINT_URL": url], body)
    }
  }
}

/// An AWS vault with test credentials.
func withAWS(_ extra: [String: String], _ body: @Sendable (AWSVault) async throws -> Void) async throws {
  let environment = [
    "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
  ].merging(extra) { $1 }
  let settings = try AWSSettings { environment[$0] }
  try await onLoop { reactor in
    let client = try HTTPSClient(reactor: reactor)
    defer { client.close() }
    try await body(AWSVault(settings, client: client, reactor: reactor))
  }
}
