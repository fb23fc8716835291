import HTTP2Session

/// How far a call has come on the client, as a value.
struct ClientCallState: Equatable {
  enum Phase: Equatable {
    /// No stream yet, or none any more before the next attempt.
    case waiting
    case open
    case over
  }

  private(set) var phase = Phase.waiting
  /// Whether all messages are written.
  private(set) var isRequestEnded = false
  /// The server has answered: there is no other attempt after that.
  private(set) var isCommitted = false
  private(set) var refusals = 0

  /// A stream that the server says it has not processed is tried again once; one that never left, as often as needed
  /// (the deadline bounds that). Spec: gRPC A6, "Transparent Retries".
  static let refusalsAllowed = 1

  mutating func opened() {
    guard phase == .waiting else { return }
    phase = .open
  }

  /// - Returns: whether END_STREAM is to be sent now; while the call waits it goes with the opening.
  mutating func requestEnded() -> Bool {
    guard !isRequestEnded else { return false }
    isRequestEnded = true
    return phase == .open
  }

  mutating func responded() { isCommitted = true }

  enum CloseAction: Equatable {
    case nothing
    case retry
    case fail
  }

  /// The stream is gone.
  ///
  /// - Parameter canReplay: whether every message sent is still here.
  mutating func streamClosed(_ code: HTTP2ErrorCode, canReplay: Bool) -> CloseAction {
    guard phase == .open else { return .nothing }
    if code == .refusedStream, !isCommitted, canReplay, refusals < Self.refusalsAllowed {
      refusals += 1
      phase = .waiting
      return .retry
    }
    return .fail
  }

  enum EndAction: Equatable {
    case nothing
    /// The call had no stream.
    case leaveQueue
    /// The peer is to be told to stop.
    case reset
    /// Both halves are complete.
    case release
  }

  /// The outcome is decided.
  ///
  /// - Parameter remoteEnded: whether the server has sent END_STREAM.
  mutating func ended(remoteEnded: Bool) -> EndAction {
    let before = phase
    phase = .over
    switch before {
    case .waiting: return .leaveQueue
    case .open: return remoteEnded && isRequestEnded ? .release : .reset
    case .over: return .nothing
    }
  }
}
