import EventLoop

/// Whether the other side of a quiet connection is still there, as a value. Asked about once a second.
///
/// Spec: gRPC A8, keepalive.
struct KeepaliveProbe: Equatable {
  enum Action: Equatable {
    case nothing
    case ping
    /// Nobody answers.
    case close
  }

  private(set) var askedAt: Instant?
  /// When the last bytes before the question came. Any later ones answer it.
  private var receivedBefore = Instant(nanoseconds: .min)

  /// - Parameter lastReceived: when bytes last came.
  mutating func check(now: Instant, lastReceived: Instant, time: Duration, timeout: Duration) -> Action {
    if let asked = askedAt {
      guard lastReceived <= receivedBefore else {
        askedAt = nil
        return .nothing
      }
      return now - asked >= timeout ? .close : .nothing
    }
    guard now - lastReceived >= time else { return .nothing }
    askedAt = now
    receivedBefore = lastReceived
    return .ping
  }
}
