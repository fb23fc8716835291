import HTTP2Session

/// What the server says about another attempt, in `grpc-retry-pushback-ms` of its trailers.
///
/// Spec: gRPC proposal A6, "Pushback".
enum Pushback: Equatable {
  /// Nothing.
  case none
  /// After so long.
  case delay(Duration)
  /// Not at all: the value is negative, nothing that can be read, or longer than ``longest``.
  case stop

  /// Who is to come back later than this is told of the failure now instead: nobody waits for such a call.
  static let longest = Duration.seconds(300)

  init(_ block: HTTP2HeaderBlock) {
    guard let value = block.first("grpc-retry-pushback-ms") else {
      self = .none
      return
    }
    self.init(value: value)
  }

  init(value: some Collection<UInt8>) {
    guard !value.isEmpty, value.count <= 9, value.allSatisfy({ (0x30...0x39).contains($0) }) else {
      self = .stop
      return
    }
    let delay = Duration.milliseconds(value.reduce(0) { $0 * 10 + Int64($1 - 0x30) })
    self = delay <= Self.longest ? .delay(delay) : .stop
  }
}
