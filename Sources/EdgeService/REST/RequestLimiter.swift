import EventLoop
import HTTPTypes
import ServiceKit

/// Request rates of keys and users, shared by all replicas through the buckets in the database. Lives on one loop.
final class RequestLimiter {
  private let store: any EdgeStore
  private let reactor: Reactor
  private let perKey: Rate
  private let perUser: Rate
  private let now: () -> UInt64
  /// By the bytes of the name: user ids are not equal because Unicode thinks so.
  private var leases: [[UInt8]: TokenLease] = [:]
  /// Keys and users whose leases are kept; above it the idle ones go.
  static let capacity = 20_000
  /// Buckets that have let a request pass on credit, to be asked together.
  private var debtors: [Bucket] = []
  /// How long they gather: a transaction for what comes in this time, instead of one for each request.
  static let settleDelay: Duration = .milliseconds(50)

  private struct Bucket {
    let tenant: String
    let key: String
    let rate: Rate

    var name: [UInt8] { Array("\(tenant) \(key)".utf8) }
    var batch: Int { TokenLease.batch(perSecond: rate.perSecond) }
    /// Of a burst, what replicas may admit on credit, one request a loop, is not in the bucket.
    var credit: Int { 2 * rate.count / 8 }
    var burst: Int { max(1, 2 * rate.count - credit) }
  }

  init(_ store: any EdgeStore, perKey: Rate, perUser: Rate, on reactor: Reactor, now: @escaping () -> UInt64) {
    self.store = store
    self.reactor = reactor
    self.perKey = perKey
    self.perUser = perUser
    self.now = now
  }

  /// Takes one request off the caller's key and, where the request is about one user, off the user.
  ///
  /// - Throws: `Problem` 429 with `RateLimit` fields, 503 when the buckets are out of reach.
  func admit(_ caller: Caller, user: UserID?) async throws {
    try await admit(Bucket(tenant: caller.tenant, key: "key:\(caller.keyID)", rate: perKey), policy: "key")
    if let user = caller.boundUser ?? user {
      try await admit(Bucket(tenant: caller.tenant, key: "user:\(user.text)", rate: perUser), policy: "user")
    }
  }

  private func admit(_ bucket: Bucket, policy: String) async throws {
    let name = bucket.name
    makeRoom()
    var decision = leases[name, default: TokenLease()].decide(
      batch: bucket.batch, givesCredit: bucket.credit > 0, now: now())
    if case .ask(let ask) = decision {
      do {
        try await self.ask(bucket, name, ask)
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        throw Problem.unavailable
      }
      decision = leases[name, default: TokenLease()].claim(now: now())
    }
    switch decision {
    case .admit, .ask: break
    case .admitOnCredit: settleSoon(bucket)
    case .refuse(let wait): throw Self.refusal(policy, bucket.rate, wait)
    }
  }

  private func ask(_ bucket: Bucket, _ name: [UInt8], _ ask: TokenLease.Ask) async throws {
    do {
      let answer = try await store.takeTokens(
        tenant: bucket.tenant, bucket: bucket.key, perSecond: bucket.rate.perSecond, burst: bucket.burst,
        want: min(ask.want, bucket.burst))
      leases[name, default: TokenLease()].granted(
        answer.granted, to: ask, retryAfter: UInt64(max(0, answer.retryAfter.wholeNanoseconds)), now: now())
    } catch {
      leases[name]?.failed(ask)
      throw error
    }
  }

  private func settleSoon(_ bucket: Bucket) {
    debtors.append(bucket)
    guard debtors.count == 1 else { return }
    reactor.schedule(after: Self.settleDelay) { [self] in
      for bucket in debtors {
        let name = bucket.name
        guard let ask = leases[name]?.settle(batch: bucket.batch) else { continue }
        // What fails is owed still: the next request asks for it.
        reactor.spawn { [self] in try await self.ask(bucket, name, ask) }
      }
      debtors = []
    }
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
