import EventLoop

/// In which order, and how far apart, the addresses of one server are tried.
///
/// Spec: RFC 8305, "Happy Eyeballs Version 2", sections 4 and 5; gRPC proposal A61.
enum HappyEyeballs {
  /// How long an attempt has the stage alone, unless it fails before: the recommended value.
  static let attemptDelay = Duration.milliseconds(250)

  /// The addresses with families in turn, beginning with the family of the first; else in the order given, each once.
  static func order(_ addresses: [SocketAddress]) -> [SocketAddress] {
    var queues: [[SocketAddress]] = []
    for address in addresses where !queues.contains(where: { $0.contains(address) }) {
      if let index = queues.firstIndex(where: { $0[0].family == address.family }) {
        queues[index].append(address)
      } else {
        queues.append([address])
      }
    }
    let longest = queues.map(\.count).max() ?? 0
    return (0..<longest).flatMap { place in queues.compactMap { place < $0.count ? $0[place] : nil } }
  }
}
