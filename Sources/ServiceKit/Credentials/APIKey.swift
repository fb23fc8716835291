package import TLSSession

/// A platform's credential, `emcp_<env>_<key id>_<secret>`: shown once at its creation, kept as its id and an
/// HMAC-SHA-256 of its secret under the installation's pepper, so that a copy of the database opens nothing.
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
    let parts = text.split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0] == "emcp", let environment = Environment(rawValue: String(parts[1])),
      parts[2].utf8.count == Self.idLength, parts[3].utf8.count == Self.secretLength,
      parts[2].utf8.allSatisfy(Self.alphabet.contains), parts[3].utf8.allSatisfy(Self.alphabet.contains)
    else { return nil }
    self.environment = environment
    id = String(parts[2])
    secret = String(parts[3])
  }

  /// What the database keeps.
  package func authenticator(pepper: SecretBytes) -> [UInt8] {
    HMACSHA256.authenticate(Array(secret.utf8), key: pepper)
  }

  /// Compares in constant time.
  package func matches(_ authenticator: [UInt8], pepper: SecretBytes) -> Bool {
    HMACSHA256.isValid(authenticator, for: Array(secret.utf8), key: pepper)
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
