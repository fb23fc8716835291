import EventLoop

/// The life of a channel's connection, as a value: addresses are tried in order (gRPC's pick_first), a failed round is
/// followed by a wait that grows, a lost connection is made again when a call needs it.
///
/// Balancing over several connections takes this place: it will hold one such value an address.
/// Spec: grpc/doc/connectivity-semantics-and-api.md, connection-backoff.md
struct Connectivity: Equatable {
  enum State: Equatable {
    case idle
    case resolving
    case connecting(SocketAddress, rest: [SocketAddress])
    case ready
    /// The last round failed; calls that do not wait for readiness fail at once.
    case backingOff
    case closed
  }

  enum Action: Equatable {
    case nothing
    case resolve
    case connect(SocketAddress)
    /// Fail the calls that do not wait for readiness, and say `backoffElapsed` after the delay.
    case backOff(Duration)
  }

  private(set) var state = State.idle
  private var backoff: Backoff

  init(backoff: Backoff) { self.backoff = backoff }

  /// A call needs a connection.
  mutating func wanted() -> Action {
    guard state == .idle else { return .nothing }
    state = .resolving
    return .resolve
  }

  mutating func resolved(_ addresses: [SocketAddress], random: Double) -> Action {
    guard state == .resolving else { return .nothing }
    guard let first = addresses.first else { return failed(random: random) }
    state = .connecting(first, rest: Array(addresses.dropFirst()))
    return .connect(first)
  }

  /// The resolver or an attempt to connect failed.
  mutating func failed(random: Double) -> Action {
    switch state {
    case .connecting(_, let rest) where !rest.isEmpty:
      state = .connecting(rest[0], rest: Array(rest.dropFirst()))
      return .connect(rest[0])
    case .resolving, .connecting:
      state = .backingOff
      return .backOff(backoff.next(random: random))
    case .idle, .ready, .backingOff, .closed: return .nothing
    }
  }

  /// The server's SETTINGS are here: it is an HTTP/2 server, and it takes calls.
  mutating func connected() {
    guard case .connecting = state else { return }
    backoff.reset()
    state = .ready
  }

  mutating func backoffElapsed(isWanted: Bool) -> Action {
    guard state == .backingOff else { return .nothing }
    state = .idle
    return isWanted ? wanted() : .nothing
  }

  /// The connection takes no more calls: lost, or told so by GOAWAY.
  mutating func lost(isWanted: Bool) -> Action {
    guard state == .ready else { return .nothing }
    state = .idle
    return isWanted ? wanted() : .nothing
  }

  mutating func close() { state = .closed }
}
