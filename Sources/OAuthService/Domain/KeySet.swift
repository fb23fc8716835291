import CivilTime
import StrictJSON
import TLSSession

/// Google's signing keys (a JWK Set, RFC 7517), those that can check `RS256`.
struct KeySet: Sendable {
  static let bodyLimit = 256 << 10
  static let keyLimit = 64

  let keys: [String: PublicKey]

  /// Nil when nothing usable is in it.
  init?(body: [UInt8]) {
    let limits = JSONLimits(maximumBytes: Self.bodyLimit, maximumDepth: 8)
    guard let json = try? JSONValue(parsing: body, limits: limits), let entries = json["keys"]?.arrayValue else {
      return nil
    }
    var keys: [String: PublicKey] = [:]
    for entry in entries.prefix(Self.keyLimit) {
      guard entry["kty"]?.stringValue == "RSA", let id = entry["kid"]?.stringValue, !id.isEmpty,
        (entry["use"]?.stringValue ?? "sig") == "sig", (entry["alg"]?.stringValue ?? "RS256") == "RS256",
        let modulus = entry["n"]?.stringValue.flatMap({ Base64.decode($0, .urlSafe) }),
        let exponent = entry["e"]?.stringValue.flatMap({ Base64.decode($0, .urlSafe) }),
        let key = try? PublicKey(rsaModulus: modulus, exponent: exponent)
      else { continue }
      keys[id] = key
    }
    guard !keys.isEmpty else { return nil }
    self.keys = keys
  }
}

/// When the keys are fetched: a value, so that the rules can be tested by script.
///
/// Fresh keys answer from memory. An unknown key id makes us fetch, since Google rotates keys, but at most once in
/// `retryInterval`: whoever sends made-up ids cannot make us flood Google. When Google does not answer, old keys serve
/// until `staleLimit`.
struct KeyCache: Sendable {
  static let shortestLife: Duration = .seconds(300)
  static let longestLife: Duration = .seconds(86_400)
  static let staleLimit: Duration = .seconds(86_400)
  static let retryInterval: Duration = .seconds(10)

  enum Lookup {
    case key(PublicKey)
    case fetch
    /// Not to be had, and it was asked for a moment ago.
    case unknown
  }

  private var keys: [String: PublicKey] = [:]
  private var freshUntil: Timestamp?
  private var lastAttempt: Timestamp?

  func lookup(_ id: String, now: Timestamp) -> Lookup {
    let key = keys[id]
    if let key, let freshUntil, now < freshUntil { return .key(key) }
    if let lastAttempt, now < lastAttempt + Self.retryInterval {
      if let key, let freshUntil, now < freshUntil + Self.staleLimit { return .key(key) }
      return .unknown
    }
    return .fetch
  }

  /// A fetch has ended; nil means in failure.
  mutating func fetched(_ set: KeySet?, maxAge: Duration?, now: Timestamp) {
    lastAttempt = now
    guard let set else { return }
    keys = set.keys
    freshUntil = now + min(max(maxAge ?? Self.shortestLife, Self.shortestLife), Self.longestLife)
  }

  /// The `max-age` of a Cache-Control field.
  static func maxAge(_ cacheControl: String?) -> Duration? {
    for directive in (cacheControl ?? "").split(separator: ",") {
      let parts = directive.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, parts[0].trimmed.lowercased() == "max-age", let seconds = Int64(parts[1].trimmed),
        (0...Int64(Int32.max)).contains(seconds)
      else { continue }
      return .seconds(seconds)
    }
    return nil
  }
}

extension Substring {
  fileprivate var trimmed: Substring {
    var text = self
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }
}
