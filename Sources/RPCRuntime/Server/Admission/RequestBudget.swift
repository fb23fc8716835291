/// How many bytes the requests of a connection, or of all connections of a loop, hold, and who gives way when those are
/// too many; as a value.
struct RequestBudget: Equatable {
  let limit: Int
  private(set) var held = 0

  /// - Parameter largestRequest: it has room in any case, or it could never come.
  init(limit: Int, largestRequest: Int) { self.limit = max(limit, largestRequest) }

  var isExceeded: Bool { held > limit }

  mutating func change(by count: Int) { held += count }

  /// The call that is refused: the newest that holds at least the mean. Newer ones have come less far, and what is small
  /// makes no room.
  ///
  /// - Parameter calls: by their stream's id, which grows with each call, and what they hold.
  /// - Returns: its index; nil when none holds anything.
  static func victim(of calls: [(id: Int32, held: Int)]) -> Int? {
    let sum = calls.reduce(0) { $0 + $1.held }
    guard sum > 0 else { return nil }
    return calls.indices.filter { calls[$0].held * calls.count >= sum }.max { calls[$0].id < calls[$1].id }
  }
}
