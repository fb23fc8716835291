import CivilTime
import EventLoop
import MailSyntax
import RPCRuntime
import ServiceContracts
import WireCodec
import ServiceKit

/// Gets access tokens from the oauth service, once for all on this loop who ask at the same time.
final class TokenSource {
  /// For one call of the oauth service, which may have to ask Google.
  static let timeout: Duration = .seconds(20)

  private let reactor: Reactor
  private let channel: RPCChannel
  private let signer: ContextSigner
  private let cache: TokenCache
  private var asking: [UserKey: [Waiter<Result<AccessToken, AccountError>>]] = [:]

  init(reactor: Reactor, channel: RPCChannel, signer: ContextSigner, cache: TokenCache) {
    self.reactor = reactor
    self.channel = channel
    self.signer = signer
    self.cache = cache
  }

  /// - Parameter patience: how long to wait for it at most.
  func token(of user: UserKey, within patience: Duration = timeout) async throws(AccountError) -> AccessToken {
    if let token = cache.token(of: user, now: .now()) { return token }
    return try await ask(user, refused: nil, within: patience)
  }

  /// A newer token than the one that Gmail refused.
  func token(of user: UserKey, afterRefusalOf token: AccessToken) async throws(AccountError) -> AccessToken {
    cache.drop(user, version: token.version)
    if let newer = cache.token(of: user, now: .now()) { return newer }
    return try await ask(user, refused: Self.refusal(token, .invalid))
  }

  func forget(_ user: UserKey) { cache.drop(user) }

  /// Tells that the grant lacks the scope, so that the account is marked for a new consent.
  func reportMissingScope(_ token: AccessToken, of user: UserKey) async {
    cache.drop(user)
    _ = try? await request(user, refused: Self.refusal(token, .insufficientScope))
  }

  private static func refusal(_ token: AccessToken, _ reason: OAuth.TokenRefusal.Reason) -> OAuth.TokenRefusal {
    OAuth.TokenRefusal {
      $0.tokenVersion = token.version
      $0.reason = reason
    }
  }

  // MARK: Asking

  private func ask(
    _ user: UserKey, refused: OAuth.TokenRefusal?, within patience: Duration = timeout
  ) async throws(AccountError) -> AccessToken {
    let result: Result<AccessToken, AccountError>
    var timer: Timer?
    defer { timer?.cancel() }
    do {
      result = try await reactor.wait { (waiter: Waiter<Result<AccessToken, AccountError>>) in
        if patience < Self.timeout {
          timer = reactor.schedule(after: patience) { waiter.resume(returning: .failure(.unavailable)) }
        }
        asking[user, default: []].append(waiter)
        guard asking[user]?.count == 1 else { return }
        // Asked in a task of its own: the first who asked may be cancelled, the others still want the answer.
        reactor.spawn { [self] in
          let result = await fetch(user, refused: refused)
          for waiter in asking.removeValue(forKey: user) ?? [] { waiter.resume(returning: result) }
        }
      }
    } catch {
      throw .unavailable
    }
    return try result.get()
  }

  private func fetch(_ user: UserKey, refused: OAuth.TokenRefusal?) async -> Result<AccessToken, AccountError> {
    let drops = cache.drops(of: user)
    do throws(RPCError) {
      let answer = try await request(user, refused: refused)
      guard let expiry = answer.expiresAt?.timestamp, let address = try? MailAddress(answer.emailAddress),
        !answer.accessToken.isEmpty
      else { return .failure(.unavailable) }
      let account = MailAccount(
        googleSub: answer.googleSub, grantVersion: answer.grantVersion, address: address)
      let token = AccessToken(
        account: account, token: answer.accessToken, version: answer.tokenVersion, expiresAt: expiry)
      cache.keep(token, of: user, now: .now(), since: drops)
      return .success(token)
    } catch {
      switch error.errorInfo?.reason {
      case "not_connected": return .failure(.notConnected)
      case "reauth_required": return .failure(.reauthRequired)
      default: return .failure(.unavailable)
      }
    }
  }

  private func request(
    _ user: UserKey, refused: OAuth.TokenRefusal?
  ) async throws(RPCError) -> OAuth.GetAccessTokenResponse {
    let request = OAuth.GetAccessTokenRequest {
      $0.minLifetime = ProtobufDuration(TokenCache.reserve)
      $0.refused = refused
    }
    return try await channel.call(
      OAuth.getAccessToken, request,
      options: CallOptions(timeout: Self.timeout, metadata: signer.metadata(for: Self.context(user))))
  }

  private static func context(_ user: UserKey) -> CallContext {
    CallContext {
      $0.tenantID = user.tenantID
      $0.userID = user.userID
    }
  }
}
