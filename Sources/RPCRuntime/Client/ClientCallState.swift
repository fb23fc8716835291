import HTTP2Session

/// How far a call has come on the client, as a value.
struct ClientCallState: Equatable {
  enum Phase: Equatable {
    /// No stream yet, or none any more before the next attempt.
    case waiting
    case open
    /// The attempt has failed; another one follows once its stream is gone.
    case leaving
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

  /// The attempt has failed while its stream is there, and is to be followed by another.
  ///
  /// - Parameter isComplete: whether both halves of the stream have ended.
  /// - Returns: whether the peer is to be told to stop.
  mutating func leave(isComplete: Bool) -> Bool {
    guard phase == .open else { return false }
    phase = .leaving
    return !isComplete
  }

  enum CloseAction: Equatable {
    case nothing
    /// The server has certainly done nothing: again at once.
    case reopen
    /// The attempt that was left is gone: the next one follows after its delay.
    case left
    /// With the failure that the attempt was left for, if it was.
    case fail
  }

  /// The stream is gone. The call has none then; `ended` follows a `fail` unless another attempt does.
  ///
  /// - Parameters:
  ///   - neverSent: nothing of it has left.
  ///   - canReplay: whether every message sent is still here.
  mutating func streamClosed(_ code: HTTP2ErrorCode, neverSent: Bool, canReplay: Bool) -> CloseAction {
    switch phase {
    case .waiting, .over: return .nothing
    case .leaving:
      phase = .waiting
      return canReplay ? .left : .fail
    case .open:
      phase = .waiting
      guard code == .refusedStream, !isCommitted, canReplay else { return .fail }
      if neverSent { return .reopen }
      guard refusals < Self.refusalsAllowed else { return .fail }
      refusals += 1
      return .reopen
    }
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
  /// - Parameter isComplete: whether both halves of the stream have ended; ours not while END_STREAM waits behind data.
  mutating func ended(isComplete: Bool) -> EndAction {
    let before = phase
    phase = .over
    switch before {
    case .waiting: return .leaveQueue
    case .open: return isComplete ? .release : .reset
    case .leaving, .over: return .nothing
    }
  }
}
