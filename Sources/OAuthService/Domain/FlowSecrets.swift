import TLSSession

/// The capability that goes through the browser: 256 random bits, of which only the hash is stored.
struct FlowState: Hashable, Sendable {
  let text: String
  /// SHA-256 of the text: the flow's key in storage.
  let hash: [UInt8]

  static func random() -> FlowState { FlowState(unchecked: Base64.encode(SecureRandom.bytes(32), .urlSafe)) }

  /// A state as a browser brings it. Nil for what no state of ours can be.
  init?(_ text: String) {
    guard text.utf8.count == 43, Base64.decode(text, .urlSafe)?.count == 32 else { return nil }
    self.init(unchecked: text)
  }

  private init(unchecked text: String) {
    self.text = text
    hash = SHA256.hash(text.utf8)
  }
}

/// What a page gets instead of Google's code, where our own URL is the redirect URI. Good once.
struct CodeHandle: Sendable {
  static let lifetime: Duration = .seconds(120)

  let text: String
  var hash: [UInt8] { Self.hash(text) }

  static func random() -> CodeHandle { CodeHandle(text: Base64.encode(SecureRandom.bytes(32), .urlSafe)) }

  static func hash(_ text: String) -> [UInt8] { SHA256.hash(text.utf8) }
}

/// Proof Key for Code Exchange (RFC 7636) with `S256`.
struct PKCEVerifier: Sendable {
  let secret: SecretBytes

  /// 43 characters, the shortest that the RFC allows, of 256 random bits.
  static func random() -> PKCEVerifier {
    PKCEVerifier(secret: SecretBytes(Base64.encode(SecureRandom.bytes(32), .urlSafe)))
  }

  init(secret: SecretBytes) { self.secret = secret }

  var challenge: String { secret.withUnsafeBytes { Base64.encode(SHA256.hash($0), .urlSafe) } }
}
