/// Whose turn a mail waits for, and whether somebody waits for its outcome: `send_jobs.class`.
enum SendClass: Int16, Sendable, CaseIterable {
  case interactive = 0
  case interactiveUnawaited = 2
  case bulk = 1
  case bulkAwaited = -1

  init(isBulk: Bool, isAwaited: Bool) {
    self =
      switch (isBulk, isAwaited) {
      case (false, true): .interactive
      case (false, false): .interactiveUnawaited
      case (true, true): .bulkAwaited
      case (true, false): .bulk
      }
  }

  /// - Parameter asked: what the sender says; without it, mail that somebody waits for is interactive, unless it is one of
  ///   a batch.
  static func isBulk(asked: Bool?, isAwaited: Bool, isOfBatch: Bool) -> Bool { asked ?? (!isAwaited || isOfBatch) }
}
