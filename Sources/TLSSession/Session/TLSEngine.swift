internal import COpenSSL

/// One TLS session as a pure transformer of bytes: ciphertext in, events out; plaintext in, ciphertext out.
///
/// It does no I/O and reads no clock. Not Sendable: it belongs to the connection that feeds it. The owner
/// 1. calls `start()` on a client, then sends what `pendingOutput` holds;
/// 2. feeds what the socket brings to `receive`, and after each call, **also one that throws**, sends the output
///    (a failing call leaves the alert there that tells the peer why);
/// 3. calls `receiveEnd()` when the socket reports its end.
public final class TLSEngine {
  /// What one `receive` brought, in order.
  public enum Event {
    /// The peer is verified; `negotiatedProtocol` and `peerIdentity` are known. Comes once, before any plaintext.
    case handshakeCompleted
    /// Valid during the call only.
    case plaintext(UnsafeRawBufferPointer)
    /// The peer's close_notify: nothing more will come, and nothing was cut off.
    case peerClosed
  }

  public enum State: Hashable, Sendable {
    case handshaking, open, failed
  }

  /// Plaintext is read and written in pieces of one TLS record.
  static let recordSize = 16 << 10
  /// `send` takes no more while this much ciphertext waits. 64 KiB keeps a socket busy for a loop turn.
  public static let outputHighWater = 64 << 10
  /// Ciphertext that may wait at all: a peer that reads nothing but makes us answer meets this limit.
  static let outputLimit = outputHighWater + 4 * (recordSize + 512)

  public private(set) var state: State = .handshaking
  /// The peer sent close_notify.
  public private(set) var isPeerClosed = false
  /// We sent close_notify.
  public private(set) var isClosed = false

  private let ssl: OpaquePointer
  private let bio: UnsafeMutablePointer<emcp_bio_state>
  private let expectedURI: UnsafeMutablePointer<CChar>?
  /// Holds the ALPN list that OpenSSL's callback reads.
  private let context: SSLContext
  private let isServer: Bool

  // Never freed: one for the process, as OpenSSL means BIO methods to be.
  private nonisolated(unsafe) static let bioMethod = emcp_bio_method()

  private init(context: SSLContext, isServer: Bool, expectedURI: String?) {
    ERR_clear_error()
    guard let ssl = SSL_new(context.pointer), let method = Self.bioMethod else { fatalError("OpenSSL: out of memory") }
    self.ssl = ssl
    self.context = context
    self.isServer = isServer
    bio = .allocate(capacity: 1)
    bio.initialize(to: emcp_bio_state())
    bio.pointee.out_limit = Self.outputLimit
    guard emcp_ssl_attach(ssl, method, bio) == 1 else { fatalError("OpenSSL: out of memory") }
    self.expectedURI = expectedURI.flatMap { strdup($0) }
    if let uri = self.expectedURI { emcp_ssl_expect_uri(ssl, uri) }
    if isServer { SSL_set_accept_state(ssl) } else { SSL_set_connect_state(ssl) }
  }

  deinit {
    SSL_free(ssl)
    free(bio.pointee.out)
    bio.deallocate()
    free(expectedURI)
  }

  static func server(_ context: SSLContext) -> TLSEngine {
    TLSEngine(context: context, isServer: true, expectedURI: nil)
  }

  static func client(_ context: SSLContext, peer: ExpectedPeer) throws(TLSError) -> TLSEngine {
    switch peer {
    case .uri(let uri, let serverName):
      guard !uri.isEmpty, !uri.utf8.contains(0) else { throw TLSError(.configuration, "a peer's URI may not be empty") }
      let engine = TLSEngine(context: context, isServer: false, expectedURI: uri)
      if let serverName { try engine.setServerName(serverName) }
      return engine
    case .host(let name):
      // OpenSSL would take an empty name as "any".
      guard !name.isEmpty, !name.utf8.contains(0) else {
        throw TLSError(.configuration, "a peer's host name may not be empty")
      }
      let engine = TLSEngine(context: context, isServer: false, expectedURI: nil)
      let parameters = SSL_get0_param(engine.ssl)
      if X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1 { return engine }
      ERR_clear_error()
      SSL_set_hostflags(engine.ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
      let host = name.hasSuffix(".") ? String(name.dropLast()) : name
      guard SSL_set1_host(engine.ssl, host) == 1 else { throw .openSSL(.configuration, "expecting host \(name)") }
      try engine.setServerName(host)
      return engine
    }
  }

  private func setServerName(_ name: String) throws(TLSError) {
    guard emcp_ssl_set_server_name(ssl, name) == 1 else { throw .openSSL(.configuration, "naming the server") }
  }

  // MARK: Ciphertext in

  /// Begins the handshake; a client's first flight is then in the output.
  public func start() throws(TLSError) {
    guard state == .handshaking else { return }
    try receive(UnsafeRawBufferPointer(start: nil, count: 0)) { _ in }
  }

  /// Takes all of `ciphertext`, however it was cut, and reports what it meant.
  ///
  /// `event` may call `send` and `close`, but not `receive`.
  public func receive(_ ciphertext: UnsafeRawBufferPointer, _ event: (Event) -> Void) throws(TLSError) {
    guard state != .failed else { throw TLSError(.closed, "the session has failed") }
    // After close_notify whatever follows is to be ignored (RFC 8446, 6.1).
    guard !isPeerClosed else { return }
    bio.pointee.in = ciphertext.baseAddress?.assumingMemoryBound(to: UInt8.self)
    bio.pointee.in_len = ciphertext.count
    defer {
      bio.pointee.in = nil
      bio.pointee.in_len = 0
    }
    if state == .handshaking {
      guard try continueHandshake() else { return }
      event(.handshakeCompleted)
    }
    guard bio.pointee.in_len > 0 || SSL_has_pending(ssl) == 1 else { return }
    try readRecords(event)
  }

  /// True once the handshake is complete.
  private func continueHandshake() throws(TLSError) -> Bool {
    ERR_clear_error()
    let result = SSL_do_handshake(ssl)
    if result == 1 {
      state = .open
      return true
    }
    guard SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ else { throw fail("handshake") }
    return false
  }

  private func readRecords(_ event: (Event) -> Void) throws(TLSError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.recordSize, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      ERR_clear_error()
      let count = SSL_read(ssl, buffer.baseAddress, Int32(buffer.count))
      if count > 0 {
        event(.plaintext(UnsafeRawBufferPointer(rebasing: buffer[..<Int(count)])))
        continue
      }
      switch SSL_get_error(ssl, count) {
      case SSL_ERROR_WANT_READ: return
      case SSL_ERROR_ZERO_RETURN:
        isPeerClosed = true
        event(.peerClosed)
        return
      default: throw fail("reading")
      }
    }
  }

  /// The transport has ended. Throws `truncated` unless the peer had said so in TLS.
  public func receiveEnd() throws(TLSError) {
    guard state != .failed, !isPeerClosed else { return }
    let during = state == .handshaking ? "in the handshake" : "without close_notify"
    state = .failed
    throw TLSError(.truncated, "the peer ended the connection \(during)")
  }

  // MARK: Plaintext in

  /// Encrypts from the front of `plaintext` and says how many bytes it took: none before the handshake is
  /// complete, fewer than all while `outputHighWater` is reached. Give the rest again once output has been sent.
  public func send(_ plaintext: UnsafeRawBufferPointer) throws(TLSError) -> Int {
    guard state != .failed, !isClosed else { throw TLSError(.closed, "the session is closed") }
    guard state == .open else { return 0 }
    var taken = 0
    while taken < plaintext.count && pendingOutput < Self.outputHighWater {
      let piece = UnsafeRawBufferPointer(rebasing: plaintext[taken..<min(taken + Self.recordSize, plaintext.count)])
      ERR_clear_error()
      let count = SSL_write(ssl, piece.baseAddress, Int32(piece.count))
      guard count > 0 else { throw fail("writing") }
      taken += Int(count)
    }
    return taken
  }

  /// Puts close_notify into the output. The other direction stays open until the peer closes it too.
  public func close() {
    guard !isClosed else { return }
    isClosed = true
    // OpenSSL refuses to shut down before the handshake is complete; there is nothing to protect then.
    guard state == .open else { return }
    ERR_clear_error()
    _ = SSL_shutdown(ssl)
    ERR_clear_error()
  }

  // MARK: Ciphertext out

  /// Bytes that wait to be written to the transport.
  public var pendingOutput: Int { bio.pointee.out_end - bio.pointee.out_start }

  /// Lends the waiting ciphertext to `body`, which returns how many bytes from its front it has disposed of.
  /// `body` must not call the engine.
  @discardableResult
  public func withOutput<E>(_ body: (UnsafeRawBufferPointer) throws(E) -> Int) throws(E) -> Int {
    let pending = pendingOutput
    let start = bio.pointee.out.map { UnsafeRawPointer($0 + bio.pointee.out_start) }
    let consumed = try body(UnsafeRawBufferPointer(start: start, count: pending))
    precondition(consumed >= 0 && consumed <= pending, "consumed more output than there is")
    bio.pointee.out_start += consumed
    if bio.pointee.out_start == bio.pointee.out_end { releaseOutput() }
    return consumed
  }

  /// Keeps a small buffer for the next answer; an idle session holds no large one.
  private func releaseOutput() {
    bio.pointee.out_start = 0
    bio.pointee.out_end = 0
    guard bio.pointee.out_cap > 4096 else { return }
    free(bio.pointee.out)
    bio.pointee.out = nil
    bio.pointee.out_cap = 0
  }

  // MARK: What was agreed

  /// The ALPN protocol, or nil when none was agreed.
  public var negotiatedProtocol: String? {
    var data: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &data, &count)
    guard let data, count > 0 else { return nil }
    return String(decoding: UnsafeBufferPointer(start: data, count: Int(count)), as: UTF8.self)
  }

  /// Who the peer proved to be; nil before the handshake is complete and for a client without certificate.
  public var peerIdentity: PeerIdentity? {
    guard state == .open, let certificate = SSL_get1_peer_certificate(ssl) else { return nil }
    return PeerIdentity(Certificate(adopting: certificate))
  }

  /// The name that a client asked for (SNI), as a server sees it.
  public var requestedServerName: String? {
    guard isServer, let name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else { return nil }
    return String(cString: name)
  }

  /// `TLSv1.3` or `TLSv1.2`, for logs.
  public var version: String { String(cString: SSL_get_version(ssl)) }

  // MARK: Failure

  private func fail(_ doing: String) -> TLSError {
    state = .failed
    let number = ERR_peek_error()
    ERR_clear_error()
    if bio.pointee.overflowed != 0 { return TLSError(.outputLimit, "the peer does not read what it asks for") }
    let verification = SSL_get_verify_result(ssl)
    if verification != Int(X509_V_OK) && emcp_is_verify_failure(number) == 1 {
      return TLSError(.certificateRejected, String(cString: X509_verify_cert_error_string(verification)))
    }
    guard number != 0, let reason = ERR_reason_error_string(number) else {
      return TLSError(.protocolViolation, "\(doing) failed")
    }
    let text = String(cString: reason)
    let isAlert = emcp_is_alert(number) == 1
    return TLSError(isAlert ? .alertReceived : .protocolViolation, "\(doing): \(text)")
  }
}
