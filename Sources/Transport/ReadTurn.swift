import EventLoop

/// How much of a connection's input is read in one turn of the loop, as a value.
///
/// A turn is as much as one read gives, unless that takes its owner long to deal with: bytes that cost much, as an
/// attacker's do, then come in smaller pieces, and the loop's other connections have their turns in between. What is not
/// read stays in the socket, so that the peer waits.
struct ReadTurn: Equatable {
  static let most = Reactor.readCapacity
  /// Below it a system call would cost more than the bytes.
  static let least = 2 << 10
  /// What a turn may take; of several connections each takes its own.
  static let budget: Duration = .microseconds(100)

  /// Bytes to read in the next turn. Of a new connection few: nobody knows yet what its bytes cost, and a flood often comes
  /// with connections of its own, each thrown out after its first turns.
  private(set) var room = 4 << 10

  /// Fewer bytes cannot cost much, and are most of what small calls send.
  static func isWorthTiming(_ count: Int) -> Bool { count >= least }

  /// So many bytes took so long.
  mutating func took(_ time: Duration, for count: Int) {
    let fair = time <= .zero ? Double(Self.most) : Double(count) * (Self.budget / time)
    // Back up by steps: one cheap turn does not say that the next is.
    room = max(Self.least, min(Self.most, room * 2, Int(min(fair, Double(Self.most)))))
  }
}
