import CivilTime
import CoreMetrics
import HTTPTypes
import ServiceKit
import TLSSession

/// Turns a request's credential into the caller it stands for.
struct Authenticator {
  private let store: any EdgeStore
  private let peppers: Keyring
  private let tokenKeys: Keyring
  private let uses: [String: Counter]

  init(store: any EdgeStore, peppers: Keyring, tokenKeys: Keyring) {
    self.store = store
    self.peppers = peppers
    self.tokenKeys = tokenKeys
    uses = Dictionary(
      uniqueKeysWithValues: peppers.keys.map {
        ($0.id, Counter(label: "emailmcp_key_pepper_uses", dimensions: [("pepper", $0.id)]))
      })
  }

  /// - Throws: `Problem` 401 for a missing or bad credential, 403 for one of a disabled tenant, 503 when it cannot be
  ///   checked.
  func caller(of fields: HTTPFields, now: Timestamp = .now()) async throws -> Caller {
    let values = fields[values: .authorization]
    guard values.count == 1 else { throw Self.refusal(isMissing: values.isEmpty) }
    let parts = values[0].utf8.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: true)
    guard parts.count == 2, Substring(parts[0]).lowercased() == "bearer" else { throw Self.refusal(isMissing: true) }
    let credential = Substring(parts[1])
    if credential.hasPrefix(UserToken.prefix) { return try await tokenCaller(String(credential), now) }
    guard let key = APIKey(credential), let stored = try await storedKey(key.id, now),
      stored.environment == key.environment.rawValue,
      let pepper = key.pepper(of: stored.authenticator, among: peppers)
    else { throw Self.refusal(isMissing: false) }
    guard !stored.isTenantDisabled else { throw Self.tenantDisabled }
    uses[pepper.id]?.increment()
    // In the cache in front of the database, this only looks at a clock.
    try? await store.noteUse(of: key.id, tenant: stored.tenant)
    return Caller(tenant: stored.tenant, keyID: key.id, scopes: stored.scopes, boundUser: nil)
  }

  private func tokenCaller(_ text: String, _ now: Timestamp) async throws -> Caller {
    guard let token = UserToken(text, keys: tokenKeys, now: now), let key = try await storedKey(token.keyID, now),
      key.tenant == token.tenant
    else { throw Self.refusal(isMissing: false) }
    guard !key.isTenantDisabled else { throw Self.tenantDisabled }
    // What the key has lost since, the token has lost too.
    return Caller(
      tenant: token.tenant, keyID: token.keyID, scopes: token.scopes.intersection(key.scopes).filter { !$0.isKeyOnly },
      boundUser: token.user)
  }

  private func storedKey(_ id: String, _ now: Timestamp) async throws -> StoredKey? {
    let key: StoredKey?
    do {
      key = try await store.key(id)
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      throw Problem.unavailable
    }
    guard let key, key.isLive(at: now.microseconds) else { return nil }
    return key
  }

  /// Told to those alone who have shown a good credential.
  private static let tenantDisabled = Problem(
    403, "tenant_disabled", "This tenant has been disabled by the service's operator.")

  static func refusal(isMissing: Bool) -> Problem {
    var problem = Problem(
      401, isMissing ? "credential_required" : "invalid_credential",
      isMissing ? "A credential is needed: Authorization: Bearer …" : "The credential is not valid.")
    problem.headers[.wwwAuthenticate] = isMissing ? "Bearer" : "Bearer error=\"invalid_token\""
    return problem
  }
}
