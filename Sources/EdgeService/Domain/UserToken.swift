import CivilTime
import StrictJSON
import TLSSession

/// A short-lived credential for a browser, `emct_<payload>.<signature>`: bound to one user and to the key that minted it,
/// so that it dies with the key.
struct UserToken: Sendable, Equatable {
  var tenant: String
  var user: UserID
  var keyID: String
  var scopes: Set<Scope>
  var expiresAt: Timestamp

  static let prefix = "emct_"
  static let defaultLifetime: Int64 = 900
  static let lifetimes: ClosedRange<Int64> = 1...3600
  /// Longer than any token that is minted; nothing longer is looked at.
  static let maximumLength = 4096

  func signed(with keys: Keyring) -> String {
    var json = JSONWriter()
    json.object { json in
      json.member("k", keys.newest.id)
      json.member("t", tenant)
      json.member("u", user.text)
      json.member("a", keyID)
      json.member("s") { $0.array(of: scopes.map(\.rawValue).sorted()) { $0.value($1) } }
      json.member("e", expiresAt.microseconds)
    }
    let payload = Base64.encode(json.finish(), .urlSafe)
    let signature = HMACSHA256.authenticate(Array((Self.prefix + payload).utf8), key: keys.newest.secret)
    return "\(Self.prefix)\(payload).\(Base64.encode(signature, .urlSafe))"
  }

  /// Reads a presented token; nil unless one of the keys signed it and it is still good.
  init?(_ text: String, keys: Keyring, now: Timestamp) {
    guard text.utf8.count <= Self.maximumLength, text.hasPrefix(Self.prefix) else { return nil }
    let parts = text.dropFirst(Self.prefix.count).split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, let payload = Base64.decode(parts[0], .urlSafe),
      let signature = Base64.decode(parts[1], .urlSafe), let json = try? JSONValue(parsing: payload),
      let key = json["k"]?.stringValue.flatMap({ keys[$0] }),
      HMACSHA256.isValid(signature, for: Array((Self.prefix + parts[0]).utf8), key: key.secret),
      let tenant = json["t"]?.stringValue, let user = json["u"]?.stringValue.flatMap({ UserID($0) }),
      let keyID = json["a"]?.stringValue, let expiry = json["e"]?.int64Value
    else { return nil }
    self.tenant = tenant
    self.user = user
    self.keyID = keyID
    scopes = Set((json["s"]?.arrayValue ?? []).compactMap { $0.stringValue.flatMap(Scope.init(rawValue:)) })
    expiresAt = Timestamp(microseconds: expiry)
    guard now < expiresAt else { return nil }
  }

  init(tenant: String, user: UserID, keyID: String, scopes: Set<Scope>, expiresAt: Timestamp) {
    self.tenant = tenant
    self.user = user
    self.keyID = keyID
    self.scopes = scopes
    self.expiresAt = expiresAt
  }
}
