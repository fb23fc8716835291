import EventLoop
import HTTPTypes
import PostgresClient
import ServiceKit

/// Request rates of keys and users, shared by all replicas through the buckets in the database. Lives on one loop.
final class RequestLimiter {
  private let store: any EdgeStore
  private let reactor: Reactor
  private let asks: Batches<TokenAsk, TokenGrant>
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
  /// Buckets in one transaction.
  private static let settledAtOnce = 64

  private struct Bucket {
    let tenant: String
    let key: String
    let rate: Rate

    var name: [UInt8] { Array("\(tenant) \(key)".utf8) }
    var batch: Int { TokenLease.batch(perSecond: rate.perSecond) }
    /// Of a burst, what replicas may admit on credit, one request a loop, is not in the bucket.
    var credit: Int { 2 * rate.count / 8 }

    func ask(_ ask: TokenLease.Ask) -> TokenAsk {
      let burst = Int32(clamping: max(1, 2 * rate.count - credit))
      return TokenAsk(
        tenant: tenant, bucket: key, perSecond: rate.perSecond, burst: burst,
        want: min(Int32(clamping: ask.want), burst))
    }
  }

  init(_ store: any EdgeStore, perKey: Rate, perUser: Rate, on reactor: Reactor, now: @escaping () -> UInt64) {
    self.store = store
    self.reactor = reactor
    asks = Batches(reactor: reactor) { try await store.takeTokens($0) }
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
        let grant = try await asks.submit(bucket.ask(ask))
        granted(grant, to: ask, of: name)
      } catch {
        leases[name]?.failed(ask)
        if error is CancellationError { throw error }
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

  private func granted(_ grant: TokenGrant, to ask: TokenLease.Ask, of name: [UInt8]) {
    leases[name, default: TokenLease()].granted(
      grant.granted, to: ask, retryAfter: UInt64(max(0, grant.retryAfter.wholeNanoseconds)), now: now())
  }

  private func settleSoon(_ bucket: Bucket) {
    debtors.append(bucket)
    guard debtors.count == 1 else { return }
    reactor.schedule(after: Self.settleDelay) { [self] in
      let due = debtors
      debtors = []
      reactor.spawn { [self] in
        for start in stride(from: 0, to: due.count, by: Self.settledAtOnce) {
          await settle(due[start..<min(start + Self.settledAtOnce, due.count)])
        }
      }
    }
  }

  private func settle(_ buckets: ArraySlice<Bucket>) async {
    let debts = buckets.compactMap { bucket in
      let name = bucket.name
      return leases[name]?.settle(batch: bucket.batch).map { (name: name, ask: $0, asked: bucket.ask($0)) }
    }
    guard !debts.isEmpty else { return }
    do {
      let grants = try await store.takeTokens(debts.map(\.asked))
      for (debt, grant) in zip(debts, grants) { granted(grant, to: debt.ask, of: debt.name) }
    } catch {
      // Owed still: the next request asks for it.
      for debt in debts { leases[debt.name]?.failed(debt.ask) }
    }
  }

  private func makeRoom() {
    guard leases.count >= Self.capacity else { return }
    let horizon = now() - min(now(), 2 * TokenLease.lifetime)
    leases = leases.filter { $0.value.usedAt > horizon }
    if leases.count >= Self.capacity { leases.removeAll() }
  }

  static func refusal(_ policy: String, _ rate: Rate, _ wait: UInt64) -> Problem {
    let seconds = Int((wait + 999_999_999) / 1_000_000_000)
    var problem = Problem.tooMany(
      "too_many_requests", "Too many requests for this \(policy); slow down.", retryAfter: seconds)
    problem.tellLimit(policy, quota: Int64(rate.count), window: max(1, rate.period.components.seconds))
    return problem
  }
}
