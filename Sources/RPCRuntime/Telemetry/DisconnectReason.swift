import EventLoop
import Glibc
import HTTP2Session

/// Why a channel's connection takes no more calls, in the words of proposal A94 (`grpc.disconnect_error`).
struct DisconnectReason: Equatable {
  let label: String

  private init(label: String) { self.label = label }

  /// The channel itself gave it up: closed, idle, or the address is none of the target's any more.
  static let shutdown = Self(label: "subchannel shutdown")
  static let timedOut = Self(label: "connection timed out")

  /// A code that nobody registered gets no label of its own: a server must not make them up.
  init(goAway code: HTTP2ErrorCode) {
    label = code.rawValue <= HTTP2ErrorCode.http11Required.rawValue ? "GOAWAY \(code)" : "unknown"
  }

  init(_ error: (any Error)?) {
    label =
      switch (error as? SystemError)?.number {
      case ECONNRESET, EPIPE: "connection reset"
      case ETIMEDOUT: "connection timed out"
      case ECONNABORTED: "connection aborted"
      case nil: "unknown"
      default: "socket error"
      }
  }
}
