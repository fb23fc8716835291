import HTTPTypes
import ServiceKit

/// Request rates of keys and users, shared by all replicas through the buckets in the database.
final class RequestLimiter {
  private let store: any EdgeStore
  private let perKey: Rate
  private let perUser: Rate
  private let now: () -> UInt64
  /// By the bytes of the name: user ids are not equal because Unicode thinks so.
  private var leases: [[UInt8]: TokenLease] = [:]
  /// Keys and users whose leases are kept; above it the idle ones go.
  static let capacity = 20_000

  init(_ store: any EdgeStore, perKey: Rate, perUser: Rate, now: @escaping () -> UInt64) {
    self.store = store
    self.perKey = perKey
    self.perUser = perUser
    self.now = now
  }

  /// Takes one request off the caller's key and, where the request is about one user, off the user.
  ///
  /// - Throws: `Problem` 429 with `RateLimit` fields, 503 when the buckets are out of reach.
  func admit(_ caller: Caller, user: UserID?) async throws {
    try await admit(caller.tenant, bucket: "key:\(caller.keyID)", policy: "key", perKey)
    if let user = caller.boundUser ?? user {
      try await admit(caller.tenant, bucket: "user:\(user.text)", policy: "user", perUser)
    }
  }

  private func admit(_ tenant: String, bucket: String, policy: String, _ rate: Rate) async throws {
    let name = Array("\(tenant) \(bucket)".utf8)
    let perSecond = rate.perSecond
    var decision = leases[name, default: TokenLease()].decide(batch: TokenLease.batch(perSecond: perSecond), now: now())
    if case .ask(let want) = decision {
      let burst = max(1, 2 * rate.count)
      let answer: TokenGrant
      do {
        answer = try await store.takeTokens(
          tenant: tenant, bucket: bucket, perSecond: perSecond, burst: burst, want: min(want, burst))
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        throw Problem.unavailable
      }
      let wait =
        max(0, answer.retryAfter.components.seconds) * 1_000_000_000
        + answer.retryAfter.components.attoseconds / 1_000_000_000
      makeRoom()
      decision = leases[name, default: TokenLease()].granted(
        answer.granted, retryAfter: UInt64(max(0, wait)), now: now())
    }
    if case .refuse(let wait) = decision { throw Self.refusal(policy, rate, wait) }
  }

  private func makeRoom() {
    guard leases.count >= Self.capacity else { return }
    let horizon = now() - min(now(), 2 * TokenLease.lifetime)
    leases = leases.filter { $0.value.usedAt > horizon }
    if leases.count >= Self.capacity { leases.removeAll() }
  }

  /// RFC draft ietf-httpapi-ratelimit-headers.
  static func refusal(_ policy: String, _ rate: Rate, _ wait: UInt64) -> Problem {
    let seconds = Int((wait + 999_999_999) / 1_000_000_000)
    var problem = Problem.tooMany(
      "too_many_requests", "Too many requests for this \(policy); slow down.", retryAfter: seconds)
    problem.headers[.rateLimitPolicy] = "\"\(policy)\";q=\(rate.count);w=\(max(1, rate.period.components.seconds))"
    problem.headers[.rateLimit] = "\"\(policy)\";r=0;t=\(max(1, seconds))"
    return problem
  }
}
