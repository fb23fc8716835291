package import TLSSession

/// A platform's credential, `emcp_<env>_<key id>_<secret>`: shown once at its creation, kept as its id and an
/// HMAC-SHA-256 of its secret under a pepper of the installation's, so that a copy of the database opens nothing.
package struct APIKey: Sendable, CustomStringConvertible {
  package enum Environment: String, Sendable, CaseIterable {
    case live, test
  }

  package let environment: Environment
  /// Public: stands in the database, in logs and in audit events.
  package let id: String
  private let secret: String

  private static let idLength = 16
  private static let secretLength = 43
  private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

  /// A fresh one. The secret has 43 letters and digits: 256 bits.
  package init(generating environment: Environment) {
    self.environment = environment
    id = Self.random(Self.idLength)
    secret = Self.random(Self.secretLength)
  }

  /// Reads a presented credential; nil for anything of another form.
  package init?(_ text: some StringProtocol) {
    // By bytes: finding the characters of a credential costs more than all else that is done with it.
    let parts = Array(text.utf8).split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0].elementsEqual("emcp".utf8),
      let environment = Environment(rawValue: String(decoding: parts[1], as: UTF8.self)),
      parts[2].count == Self.idLength, parts[3].count == Self.secretLength,
      parts[2].allSatisfy(Self.isLetterOrDigit), parts[3].allSatisfy(Self.isLetterOrDigit)
    else { return nil }
    self.environment = environment
    id = String(decoding: parts[2], as: UTF8.self)
    secret = String(decoding: parts[3], as: UTF8.self)
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "a")...UInt8(ascii: "z"):
      true
    default: false
    }
  }

  /// What the database keeps, under the newest pepper.
  package func authenticator(peppers: Keyring) -> [UInt8] {
    HMACSHA256.authenticate(Array(secret.utf8), key: peppers.newest.secret)
  }

  /// The pepper under which this is the key's authenticator; nil: it is another key's. Compares in constant time.
  package func pepper(of authenticator: [UInt8], among peppers: Keyring) -> Keyring.Key? {
    peppers.keys.first { HMACSHA256.isValid(authenticator, for: Array(secret.utf8), key: $0.secret) }
  }

  /// The whole credential, to be shown once.
  package var revealed: String { "emcp_\(environment.rawValue)_\(id)_\(secret)" }

  package var description: String { "emcp_\(environment.rawValue)_\(id)_<redacted>" }

  private static func random(_ length: Int) -> String {
    var characters: [UInt8] = []
    while characters.count < length {
      // 248 is the largest multiple of 62 in a byte: every letter equally likely.
      for byte in SecureRandom.bytes(length) where byte < 248 && characters.count < length {
        characters.append(alphabet[Int(byte) % alphabet.count])
      }
    }
    return String(decoding: characters, as: UTF8.self)
  }
}
