import CivilTime

/// What happened to a mail in a worker's hands since the log was last told, for its timeline: it is written with the next
/// step that is recorded, so that it costs nothing of its own.
struct DeliveryStory: Sendable {
  private var untold: [TimelineText.Entry] = []
  /// How the last request ended, in a word; nil without one, or where it was a success.
  private var answer: String?
  private var isFirstRequest = true

  init() {}

  /// - Parameter first: what the worker begins with: a mail from the queue has nothing told of its lease, one that was
  ///   accepted for this worker has its intent recorded with it.
  init(_ first: SendAttempt.Action, at time: Timestamp) {
    switch first {
    case .obtainToken, .finish, .requeue: untold = [.init("leased", at: time)]
    default: break
    }
  }

  /// Lease and attempt were told with it.
  mutating func intentRecorded() { untold = [] }

  /// A request begins. The first was told with its intent, unless the intent is a dead worker's.
  mutating func sending(at time: Timestamp) {
    if !isFirstRequest || !untold.isEmpty { untold.append(.init("attempt", answer, at: time)) }
    isFirstRequest = false
  }

  mutating func answered(_ verdict: GmailVerdict) {
    answer =
      switch verdict {
      case .success: nil
      case .refused(let refusal): refusal.reason
      case .notSent(let reason): reason
      case .notProcessed: "not_processed"
      case .unknown(let reason, _): reason
      }
  }

  /// 401: a newer access token is asked for.
  mutating func tokenRefused(at time: Timestamp) {
    untold.append(.init("refused", "access token refused, renewed", at: time))
    answer = nil
  }

  /// All that is untold, with the end of it: the decision, and after a colon the answer that it rests on.
  func ending(_ event: String, _ decision: String) -> [TimelineText.Entry] {
    untold + [.init(event, [decision, answer].compactMap(\.self).joined(separator: ": "))]
  }
}
