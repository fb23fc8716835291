import CivilTime
import StrictJSON
import TLSSession

/// The provider's RSA key for id_tokens.
struct SigningKey: Sendable {
  let key: PrivateKey
  let id: String
  private let modulus: String
  private let exponent: String

  /// Google signs with RSA.
  struct WrongKind: Error {}

  init(key: PrivateKey) throws {
    self.key = key
    guard let components = try key.publicKey.rsaComponents else { throw WrongKind() }
    modulus = Base64.encode(components.modulus, .urlSafe)
    exponent = Base64.encode(components.exponent, .urlSafe)
    id = String(Hex.encode(SHA256.hash(components.modulus)).prefix(40))
  }

  static func generate() throws -> SigningKey { try SigningKey(key: PrivateKey.generateRSA()) }

  /// The key set that `/oauth2/v3/certs` serves.
  var keySet: [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("keys") { json in
        json.array { json in
          json.object { json in
            json.member("kty", "RSA")
            json.member("alg", "RS256")
            json.member("use", "sig")
            json.member("kid", id)
            json.member("n", modulus)
            json.member("e", exponent)
          }
        }
      }
    }
    return json.finish()
  }

  /// An id_token as Google issues it for the code flow.
  func identityToken(
    for account: Account, client: OAuthClient, scopes: [OAuthScope], nonce: String?, accessToken: String,
    issuer: String,
    now: Timestamp
  ) throws -> String {
    var claims = JSONWriter()
    claims.object { json in
      json.member("iss", issuer)
      json.member("azp", client.id)
      json.member("aud", client.id)
      json.member("sub", account.sub)
      if scopes.contains(.email) {
        json.member("email", account.address)
        json.member("email_verified", true)
      }
      json.member("at_hash", Base64.encode(SHA256.hash(accessToken.utf8).prefix(16), .urlSafe))
      if let nonce { json.member("nonce", nonce) }
      json.member("iat", now.seconds)
      json.member("exp", now.seconds + 3_600)
    }
    var header = JSONWriter()
    header.object { json in
      json.member("alg", "RS256")
      json.member("kid", id)
      json.member("typ", "JWT")
    }
    let signed = "\(Base64.encode(header.finish(), .urlSafe)).\(Base64.encode(claims.finish(), .urlSafe))"
    return "\(signed).\(Base64.encode(try key.signRS256(Array(signed.utf8)), .urlSafe))"
  }
}
