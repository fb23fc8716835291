/// What a connection tells its owner, on the loop. The owner may call the connection from within each of them.
package protocol ConnectionDelegate: AnyObject {
  /// The connection can carry data: connected or accepted, and under TLS the peer is verified, so that
  /// `negotiatedProtocol` and `peerIdentity` are known. Comes once, first.
  func connectionReady()
  /// Bytes from the peer, decrypted; valid during the call only.
  func received(_ bytes: UnsafeRawBufferPointer)
  /// The peer will send no more (and under TLS said so). Writing still works. The owner decides when to close.
  func readClosed()
  /// The end of the tick, before the one write: the place to produce output. Called after `setNeedsFlush`.
  func willFlush()
  /// The waiting output fell below the low-water mark after it had passed the high one.
  func drained()
  /// The last call, exactly once, also after the owner's own `close()`. Nil when the owner closed it.
  func closed(_ error: (any Error)?)
}

extension ConnectionDelegate {
  package func willFlush() {}
  package func drained() {}
}

/// Why a connection ended, where no system call and no TLS alert says it.
package enum TransportError: Error, Sendable, Hashable, CustomStringConvertible {
  case connectTimedOut, handshakeTimedOut, hangup

  package var description: String {
    switch self {
    case .connectTimedOut: "the peer did not accept the connection in time"
    case .handshakeTimedOut: "the peer did not complete the TLS handshake in time"
    case .hangup: "the peer is gone"
    }
  }
}
