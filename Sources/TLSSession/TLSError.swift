internal import COpenSSL

/// What went wrong in a TLS session, in setting one up, or in a cryptographic operation.
///
/// `code` is open (more may come), `message` is safe to show and to log: it never holds key material or plaintext.
public struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }

    /// Certificates, keys or settings that no session can be made of.
    public static let configuration = Code("configuration")
    /// We did not accept the peer's certificate.
    public static let certificateRejected = Code("certificate_rejected")
    /// The peer sent a fatal alert.
    public static let alertReceived = Code("alert_received")
    /// The peer broke the protocol, or no common version, cipher or ALPN protocol exists.
    public static let protocolViolation = Code("protocol_violation")
    /// The transport ended without the peer's close_notify: what came may be cut short.
    public static let truncated = Code("truncated")
    /// The session has been closed or has failed before.
    public static let closed = Code("closed")
    /// More unsent output than the engine may hold.
    public static let outputLimit = Code("output_limit")
    /// A cryptographic input was malformed, or a signature or tag did not match.
    public static let invalidInput = Code("invalid_input")
    /// A certificate of our own has ended, or its time has not come.
    public static let notValidNow = Code("not_valid_now")
    /// A file could not be read.
    public static let file = Code("file")
    /// OpenSSL failed where it should not (memory, random source).
    public static let library = Code("library")
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { "\(code): \(message)" }
}

extension TLSError {
  /// An error that names the newest reason in OpenSSL's queue of this thread, and empties the queue.
  static func openSSL(_ code: Code, _ doing: String) -> TLSError {
    let number = ERR_peek_last_error()
    ERR_clear_error()
    guard number != 0, let reason = ERR_reason_error_string(number) else { return TLSError(code, doing) }
    return TLSError(code, "\(doing): \(String(cString: reason))")
  }
}
