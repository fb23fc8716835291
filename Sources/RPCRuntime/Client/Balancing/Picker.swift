/// Which of the ready connections takes the next call, as a value.
struct Picker: Equatable {
  let policy: LoadBalancingPolicy
  private var turn: Int

  /// - Parameter turn: where round_robin begins; drawn, so that many clients do not all begin at the same server.
  init(policy: LoadBalancingPolicy, turn: Int) {
    self.policy = policy
    self.turn = turn
  }

  /// - Parameters:
  ///   - count: how many are ready; at least one.
  ///   - load: the calls in flight of each.
  ///   - random: an index below its argument.
  mutating func next(of count: Int, load: (Int) -> Int, random: (Int) -> Int) -> Int {
    switch policy.kind {
    case .pickFirst: return 0
    case .roundRobin:
      turn = (turn + 1) % count
      return turn
    case .leastRequest(let choices):
      var best = random(count)
      for _ in 1..<choices {
        let other = random(count)
        if load(other) < load(best) { best = other }
      }
      return best
    }
  }
}
