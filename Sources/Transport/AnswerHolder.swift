/// A connection with answers that its client has not taken.
package protocol AnswerHolder {
  /// Bytes of them.
  var unsentBytes: Int { get }
  /// Gives up what the client does not take until no more than `limit` bytes are left, or the rest moves.
  func dropAnswers(downTo limit: Int)
}

/// Has the answers on a loop's connections hold no more than `limit` bytes in all: those give way first that hold most.
package func limitUnsentBytes(of holders: [any AnswerHolder], to limit: Int) {
  var sum = holders.reduce(0) { $0 + $1.unsentBytes }
  guard sum > limit else { return }
  for holder in holders.sorted(by: { $0.unsentBytes > $1.unsentBytes }) {
    let before = holder.unsentBytes
    guard sum > limit, before > 0 else { return }
    holder.dropAnswers(downTo: max(0, before - (sum - limit)))
    sum -= before - holder.unsentBytes
  }
}
