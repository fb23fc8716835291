import CivilTime
import EventLoop
import Logging
import TLSSession

/// Gives access tokens, refreshed where needed: once for all who ask at the same time, on this loop by a shared
/// flight, across loops and replicas by a lease on the account's row. One a loop.
final class TokenKeeper {
  /// Longer than a refresh takes (Google's time-out included), so that a lease only lapses when its owner has died.
  static let lease: Duration = .seconds(20)
  /// How often a row is looked at again while another process refreshes.
  static let pollInterval: Duration = .milliseconds(50)
  /// How long a caller is kept while others refresh.
  static let patience: Duration = .seconds(25)
  /// Two reads of one row that moved in between, then it is somebody else's doing.
  private static let attempts = 6

  private let reactor: Reactor
  private let google: any GoogleOAuth
  private let accounts: any AccountStore
  private let vault: any GrantVault
  private let sealer: any ColumnSealer
  private let logger: Logger
  private let count: (RefreshOutcome) -> Void
  private let now: () -> Timestamp
  /// Names this loop of this process in leases.
  private let owner = Hex.encode(SecureRandom.bytes(8))
  private var flights: [UserKey: Flight] = [:]

  /// For `emailmcp_token_refresh_total{result}`.
  enum RefreshOutcome: String { case success, dead, unavailable, misconfigured, superseded }

  /// A step under way (a refresh, or a pause while another process refreshes) and those who wait for it.
  private final class Flight {
    var waiters: [Waiter<Account?>] = []
    var task: Task<Void, any Error>?
  }

  init(
    reactor: Reactor, google: any GoogleOAuth, accounts: any AccountStore, vault: any GrantVault,
    sealer: any ColumnSealer, logger: Logger, count: @escaping (RefreshOutcome) -> Void = { _ in },
    now: @escaping () -> Timestamp = { .now() }
  ) {
    self.reactor = reactor
    self.google = google
    self.accounts = accounts
    self.vault = vault
    self.sealer = sealer
    self.logger = logger
    self.count = count
    self.now = now
  }

  func accessToken(of user: UserKey, _ demand: TokenDemand) async throws -> (token: SecretBytes, account: Account) {
    let deadline = reactor.now + Self.patience
    var attempts = 0
    var unreadable: Int64?
    var account = try await accounts.find(user)
    while true {
      let seen = account?.tokenVersion == unreadable ? account?.withoutToken : account
      switch demand.decide(seen, now: now()) {
      case .refuse(let failure): throw failure
      case .answer:
        guard let account, let sealed = account.sealedAccessToken else { throw OAuthFailure.notConnected }
        if let token = sealer.open(sealed, .accessToken, user) { return (token, account) }
        // Sealed under a key that is gone: a fresh one serves as well.
        unreadable = account.tokenVersion
        continue
      case .markDead(let reason):
        guard let dead = account else { throw OAuthFailure.notConnected }
        if try await accounts.requireReauth(user, of: dead, reason: reason) { throw OAuthFailure.reauthRequired }
        account = try await accounts.find(user)
        attempts += 1
      case .wait(let lease):
        account = try await join(user) { [reactor, accounts] in
          try await reactor.sleep(for: min(Self.pollInterval, max(lease - self.now(), .zero)))
          return try await accounts.find(user)
        }
      case .refresh:
        guard let stale = account else { throw OAuthFailure.notConnected }
        account = try await join(user) { [self] in
          try await refresh(user, stale)
          return try await accounts.find(user)
        }
        attempts += 1
      }
      guard attempts < Self.attempts, reactor.now < deadline else { throw OAuthFailure.googleUnavailable }
    }
  }

  /// Ends when no refresh is under way. New ones are not expected any more.
  func drain() async {
    while let flight = flights.values.first { _ = await flight.task?.result }
  }

  // MARK: One refresh

  /// Waits for the step of this user that is under way, or begins one, and gives the row as it is after that. So a
  /// thousand callers cost one look at the row each time, here as well as where another process refreshes. A caller
  /// that is cancelled leaves; the step goes on, since others wait for it and Google may already have acted.
  private func join(_ user: UserKey, _ step: @escaping () async throws -> Account?) async throws -> Account? {
    try await reactor.wait { (waiter: Waiter<Account?>) in
      if let flight = flights[user] {
        flight.waiters.append(waiter)
        return
      }
      let flight = Flight()
      flight.waiters.append(waiter)
      flights[user] = flight
      flight.task = reactor.spawn { [self] in
        let result: Result<Account?, any Error>
        do {
          result = .success(try await step())
        } catch {
          result = .failure(error)
        }
        flights[user] = nil
        for waiter in flight.waiters { waiter.resume(with: result) }
      }
    }
  }

  private func refresh(_ user: UserKey, _ account: Account) async throws {
    // Not ours: another process has it, or the row has moved. The caller looks again.
    guard try await accounts.takeRefreshLease(user, of: account, owner: owner, lease: Self.lease) else { return }
    do {
      if try await refreshUnderLease(user, account) { return }
    } catch {
      try? await accounts.releaseRefreshLease(user, owner: owner)
      throw error
    }
    try await accounts.releaseRefreshLease(user, owner: owner)
  }

  /// - Returns: whether the lease went with what was written.
  private func refreshUnderLease(_ user: UserKey, _ account: Account) async throws -> Bool {
    guard let grant = try await vault.get(user) else {
      return try await declareDead(user, account, reason: "secret_missing", used: nil)
    }
    // A connection that was broken off half way has left another account's secret here.
    guard grant.googleSub == nil || grant.googleSub == account.googleSub else {
      return try await declareDead(user, account, reason: "secret_mismatch", used: grant)
    }
    switch try await google.refresh(grant.refreshToken) {
    case .granted(let granted): return try await save(granted, user, account, grant)
    case .dead(let reason): return try await declareDead(user, account, reason: reason, used: grant)
    case .misconfigured(let error):
      count(.misconfigured)
      logger.error("Google refuses our client", metadata: ["error": "\(error)"])
      throw OAuthFailure.googleUnavailable
    case .unavailable:
      count(.unavailable)
      throw OAuthFailure.googleUnavailable
    }
  }

  private func save(
    _ granted: TokenGrant, _ user: UserKey, _ account: Account, _ grant: StoredGrant
  ) async throws -> Bool {
    if let scopes = granted.scopes, !scopes.contains(GoogleScope.send) {
      return try await declareDead(user, account, reason: "insufficient_scope", used: grant)
    }
    // Google seldom gives a new refresh token; when it does, the old one may be dead already.
    if let next = granted.refreshToken, next != grant.refreshToken {
      _ = try await vault.put(StoredGrant(refreshToken: next, googleSub: account.googleSub), for: user)
    }
    let token = RefreshedToken(
      sealed: try sealer.seal(granted.accessToken, .accessToken, user), expiry: now() + granted.lifetime,
      scopes: granted.scopes)
    let isSaved = try await accounts.saveRefreshed(user, of: account, owner: owner, token)
    count(isSaved ? .success : .superseded)
    return isSaved
  }

  /// Before an account is called dead its secret is read again: another process, or a new consent, may just have
  /// written a better one. The row's versions guard the rest.
  private func declareDead(
    _ user: UserKey, _ account: Account, reason: String, used: StoredGrant?
  ) async throws -> Bool {
    guard try await vault.get(user) == used else {
      count(.superseded)
      return false
    }
    let isWritten = try await accounts.requireReauth(user, of: account, reason: reason)
    count(isWritten ? .dead : .superseded)
    if isWritten { logger.notice("a grant is dead", metadata: ["reason": "\(reason)"]) }
    return isWritten
  }
}

extension Account {
  /// As if there were no access token to answer with.
  fileprivate var withoutToken: Account {
    var account = self
    account.sealedAccessToken = nil
    return account
  }
}
