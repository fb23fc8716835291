/// Token buckets in this loop's memory, which grant as those in the database do (`emailmcp.take_tokens`): for a database
/// that can be read and not written, so that what only reads is not refused.
struct OwnBuckets: Sendable {
  static let capacity = 20_000

  /// By tenant and bucket, when it is full again; one that is full is not here.
  private var fullAt: [[UInt8]: UInt64] = [:]

  mutating func take(_ ask: TokenAsk, now: UInt64) -> TokenGrant {
    let name = Array("\(ask.tenant) \(ask.bucket)".utf8)
    let token = 1e9 / ask.perSecond
    let missing = fullAt[name].map { Double($0 - min($0, now)) / token } ?? 0
    let granted = max(0, min(Int(ask.want), Int(Double(ask.burst) - missing + 1e-6)))
    makeRoom(now: now)
    fullAt[name] = now + UInt64((missing + Double(granted)) * token)
    let wait = granted == Int(ask.want) ? 0 : (missing + Double(granted - Int(ask.burst) + 1)) * token
    return (granted, .nanoseconds(Int64(max(0, wait))))
  }

  private mutating func makeRoom(now: UInt64) {
    guard fullAt.count >= Self.capacity else { return }
    fullAt = fullAt.filter { $0.value > now }
    if fullAt.count >= Self.capacity { fullAt.removeAll() }
  }
}
