import CivilTime
import StrictJSON
import TLSSession

/// An OpenID Connect id_token (a JWS in compact form, RFC 7515), not yet believed.
struct IDToken: Sendable {
  static let sizeLimit = 16 << 10
  /// How far our clock may be off Google's.
  static let leeway: Duration = .seconds(60)

  /// Which key signed.
  let keyID: String
  private let signedPart: [UInt8]
  private let signature: [UInt8]
  private let claims: JSONValue

  /// Nil for anything but a well-formed JWS with `RS256`: no other algorithm is even looked at.
  init?(_ text: String) {
    guard text.utf8.count <= Self.sizeLimit else { return nil }
    let parts = text.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count == 3, let header = Base64.decode(parts[0], .urlSafe).flatMap({ try? JSONValue(parsing: $0) }),
      let claims = Base64.decode(parts[1], .urlSafe).flatMap({ try? JSONValue(parsing: $0) }),
      let signature = Base64.decode(parts[2], .urlSafe)
    else { return nil }
    guard header["alg"]?.stringValue == "RS256", header["crit"] == nil,
      let keyID = header["kid"]?.stringValue, !keyID.isEmpty, claims.objectValue != nil
    else { return nil }
    self.keyID = keyID
    self.claims = claims
    self.signature = signature
    signedPart = Array(text.utf8.prefix(parts[0].utf8.count + 1 + parts[1].utf8.count))
  }

  /// What the token must say.
  struct Expectation: Sendable {
    let endpoints: GoogleEndpoints
    let clientID: String
    let nonce: String
    let now: Timestamp
  }

  /// Who gave consent, once signature and claims hold (OpenID Connect Core, 3.1.3.7).
  func verified(by key: PublicKey, against expected: Expectation) -> GoogleIdentity? {
    guard key.verifyRS256(signature, of: signedPart),
      let issuer = claims["iss"]?.stringValue, expected.endpoints.accepts(issuer: issuer),
      isAudience(expected.clientID),
      let nonce = claims["nonce"]?.stringValue, constantTimeEqual(Array(nonce.utf8), Array(expected.nonce.utf8)),
      isInTime(expected.now),
      let subject = claims["sub"]?.stringValue, (1...255).contains(subject.utf8.count),
      subject.utf8.allSatisfy({ $0 > 32 && $0 < 127 }),
      let email = claims["email"]?.stringValue, (3...320).contains(email.utf8.count), email.contains("@"),
      !email.unicodeScalars.contains(where: { $0.isControl || $0.properties.isWhitespace })
    else { return nil }
    let isVerified = claims["email_verified"]?.boolValue ?? (claims["email_verified"]?.stringValue == "true")
    return GoogleIdentity(subject: subject, email: email, isEmailVerified: isVerified)
  }

  /// Ours and nobody else's too.
  private func isAudience(_ clientID: String) -> Bool {
    if let party = claims["azp"], party.stringValue != clientID { return false }
    switch claims["aud"] {
    case .string(let audience): return audience == clientID
    case .array(let audiences): return audiences.count == 1 && audiences[0].stringValue == clientID
    default: return false
    }
  }

  private func isInTime(_ now: Timestamp) -> Bool {
    guard let expiry = claims["exp"]?.int64Value, (0...Self.latestSecond).contains(expiry),
      now - Self.leeway < Timestamp(seconds: expiry)
    else { return false }
    guard let issued = claims["iat"] else { return true }
    guard let issued = issued.int64Value, (0...Self.latestSecond).contains(issued) else { return false }
    return Timestamp(seconds: issued) <= now + Self.leeway
  }

  /// Year 9999; keeps microseconds from overflowing.
  private static let latestSecond: Int64 = 253_402_300_799
}

/// A Google account, as its id_token describes it.
struct GoogleIdentity: Hashable, Sendable {
  /// The account's stable id; its address can change.
  let subject: String
  let email: String
  let isEmailVerified: Bool
}
