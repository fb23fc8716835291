import CivilTime
import EventLoop
import RPCRuntime
import ServiceContracts
import WireCodec

/// Gives access tokens as a test says.
final class ScriptedOAuth {
  enum Answer {
    case token
    case refusal(String)
    case away
    /// As `token`, when `release` is called.
    case held
  }

  private(set) var calls: [OAuth.GetAccessTokenRequest] = []
  private(set) var missingScopes = 0
  private var version: Int64 = 1
  var answer = Answer.token
  /// How long a token takes.
  var delay: Duration = .zero
  /// The Google account behind each user.
  var sub: (String) -> String = { "sub-\($0)" }
  private var waiting: [Waiter<Void>] = []
  private var watchers: [MessageWriter<OAuth.WatchConnectionsResponse>] = []
  private let server: RPCServer
  private let reactor: Reactor

  init(_ reactor: Reactor) {
    self.reactor = reactor
    server = RPCServer(on: reactor)
    // A call that comes as a test ends finds nobody.
    let gone = RPCError(.unavailable, "the test is over")
    server.handle(OAuth.getAccessToken) { [weak self] request, context in
      guard let self else { throw gone }
      try await reactor.sleep(for: delay)
      if case .held = answer { try await reactor.wait { waiting.append($0) } }
      return try token(request, Self.context(context))
    }
    server.handle(OAuth.watchConnections, options: MethodOptions(endsOnDrain: true)) { [weak self] _, writer, _ in
      try await writer.write(OAuth.WatchConnectionsResponse { $0.event = .started(.init()) })
      guard let self else { throw gone }
      watchers.append(writer)
      while true { try await reactor.sleep(for: .seconds(1)) }
    }
  }

  func start(path: String) async throws { try await server.listen(on: "unix:\(path)") }

  func release() {
    answer = .token
    for waiter in waiting { waiter.resume(returning: ()) }
    waiting = []
  }

  func stop() async { await server.drain(within: .zero) }

  /// Tells the watchers that a user's account is active again.
  func announce(tenant: String, user: String) async throws {
    for writer in watchers {
      try await writer.write(
        OAuth.WatchConnectionsResponse {
          $0.event = .change(
            OAuth.ConnectionChange {
              $0.tenantID = tenant
              $0.userID = user
              $0.status = .active
              $0.grantVersion = 1
            })
        })
    }
  }

  private static func context(_ server: ServerContext) throws -> CallContext {
    let signed = try SignedCallContext(wire: server.metadata.binary("emailmcp-context-bin") ?? [])
    return try CallContext(wire: signed.context)
  }

  private func token(
    _ request: OAuth.GetAccessTokenRequest, _ context: CallContext
  ) throws -> OAuth.GetAccessTokenResponse {
    calls.append(request)
    if request.refused?.reason == .insufficientScope { missingScopes += 1 }
    switch answer {
    case .refusal(let reason): throw RPCError(.failedPrecondition, reason: reason, "No.")
    case .away: throw RPCError(.unavailable, reason: "vault_unavailable", "Away.")
    case .token, .held: break
    }
    if request.refused != nil { version += 1 }
    return OAuth.GetAccessTokenResponse {
      $0.accessToken = "token-\(context.userID)-\(version)"
      $0.expiresAt = ProtobufTimestamp(Timestamp.now() + .seconds(3600))
      $0.tokenVersion = version
      $0.grantVersion = 1
      $0.emailAddress = "\(context.userID)@example.com"
      $0.googleSub = sub(context.userID)
    }
  }
}
