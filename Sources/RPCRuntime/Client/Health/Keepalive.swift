import EventLoop

/// When a connection's client pings, and when it gives the connection up, as a value.
struct Keepalive: Equatable {
  enum Action: Equatable {
    /// Ask again then.
    case wait(until: Instant)
    /// Ask again at once after sending a PING.
    case ping
    /// Ask again when a call begins.
    case sleep
    /// The server is gone.
    case close
  }

  private let configuration: KeepaliveConfiguration
  private(set) var pingedAt: Instant?
  /// When the last bytes before the ping came. Any later ones answer it: nothing depends on how exactly their time and
  /// the ping's compare.
  private var readBefore = Instant(nanoseconds: .min)

  init(_ configuration: KeepaliveConfiguration) { self.configuration = configuration }

  /// - Parameter lastRead: when the last bytes came.
  mutating func next(now: Instant, lastRead: Instant, hasCalls: Bool) -> Action {
    if let pingedAt {
      if lastRead > readBefore {
        self.pingedAt = nil
      } else {
        let limit = pingedAt + configuration.timeout
        return now >= limit ? .close : .wait(until: limit)
      }
    }
    guard hasCalls || configuration.permitWithoutCalls else { return .sleep }
    let due = lastRead + configuration.time
    guard now >= due else { return .wait(until: due) }
    pingedAt = now
    readBefore = lastRead
    return .ping
  }
}
