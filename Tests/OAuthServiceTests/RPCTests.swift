import CivilTime
import EventLoop
import Logging
import RPCRuntime
import ServiceContracts
import ServiceKit
import Synchronization
import TLSSession
import TestSupport
import Testing

@testable import OAuthService

@Suite("The service as others call it")
struct RPCTests {
  static let keys = Keyring(generating: "c1")

  /// A server over real sockets with the world behind it, and a channel to it.
  final class Site {
    let world: World
    let feed: ConnectionFeed
    let channel: RPCChannel

    init(world: World, feed: ConnectionFeed, channel: RPCChannel) {
      self.world = world
      self.feed = feed
      self.channel = channel
    }

    func options(
      _ issuer: String = "edge", user: String? = nil, scopes: [String] = ["connect", "read"],
      tenant: String = "default", credential: String = "key-1"
    ) -> CallOptions {
      var context = CallContext()
      context.tenantID = tenant
      context.userID = user ?? world.user.user
      context.credentialID = credential
      context.scopes = scopes
      var options = CallOptions()
      options.timeout = .seconds(10)
      options.metadata = ContextSigner(keys: RPCTests.keys, issuer: issuer).metadata(for: context)
      return options
    }
  }

  private func onSite(_ body: @escaping @Sendable (Site) async throws -> Void) async throws {
    try await onLoop { reactor in
      let world = try World()
      let feed = ConnectionFeed(reactor: reactor)
      feed.listeningBegan()
      let server = RPCServer(on: reactor, logger: .silent)
      server.use(CallContextInterceptor(keys: Self.keys, logger: .silent))
      server.register(
        OAuthRPC(
          authorizer: world.authorizer(), keeper: world.keeper(reactor), disconnector: world.disconnector(),
          accounts: world.accounts, feed: feed, logger: .silent))
      let address = try await server.listen(on: "127.0.0.1:0")
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor, logger: .silent)
      try await body(Site(world: world, feed: feed, channel: channel))
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  /// `CODE reason` of the failure of a call.
  private static func failure(_ body: () async throws -> Void) async -> String {
    do {
      try await body()
      return "none"
    } catch let error as RPCError {
      return "\(error.code) \(error.errorInfo?.reason ?? "-")"
    } catch {
      return "\(error)"
    }
  }

  @Test("A connect from the link to the profile")
  func connect() async throws {
    try await onSite { site in
      var start = OAuth.StartAuthorizationRequest()
      start.redirectURL = "https://crm.example.com/done?x=1"
      let page = try await site.channel.call(OAuth.startAuthorization, start, options: site.options())
      #expect(page.expiresAt?.timestamp == site.world.now + .seconds(600))
      let query = queryItems(page.authorizationURL)
      let token = try site.world.google.idToken(nonce: query["nonce"] ?? "")
      site.world.google.answers = [grant(access: "access-1", refresh: "refresh-1", idToken: token)]
      var end = OAuth.CompleteAuthorizationRequest()
      end.state = query["state"] ?? ""
      end.code = "google-code"
      let completed = try await site.channel.call(OAuth.completeAuthorization, end, options: site.options())
      #expect(completed.userID == site.world.user.user)
      #expect(completed.emailAddress == "ann@example.com")
      #expect(completed.redirectURL == start.redirectURL)
      let profile = try await site.channel.call(OAuth.getProfile, OAuth.GetProfileRequest(), options: site.options())
      #expect(profile.gmailConnected)
      #expect(profile.status == .active)
      #expect(profile.emailAddress == "ann@example.com")
      #expect(profile.scopes == GoogleScope.requested)
      #expect(profile.reauthReason == nil)
      let answer = try await site.channel.call(
        OAuth.getAccessToken, OAuth.GetAccessTokenRequest(), options: site.options("mailer"))
      #expect(answer.accessToken == "access-1")
      #expect(answer.googleSub == "sub-1")
      #expect(answer.tokenVersion == 1)
      #expect(answer.grantVersion == 1)
    }
  }

  @Test(
    "The audit names whose key asked; where none did, the service that called",
    arguments: [("key-7", "key-7"), ("", "edge")])
  func actors(credential: String, actor: String) async throws {
    try await onSite { site in
      let options = site.options(credential: credential)
      var start = OAuth.StartAuthorizationRequest()
      start.redirectURL = "https://crm.example.com/done?x=1"
      let page = try await site.channel.call(OAuth.startAuthorization, start, options: options)
      #expect(site.world.flows.credentials == [credential])
      let query = queryItems(page.authorizationURL)
      let token = try site.world.google.idToken(nonce: query["nonce"] ?? "")
      site.world.google.answers = [grant(refresh: "refresh-1", idToken: token)]
      var end = OAuth.CompleteAuthorizationRequest()
      end.state = query["state"] ?? ""
      end.code = "google-code"
      _ = try await site.channel.call(OAuth.completeAuthorization, end, options: options)
      _ = try await site.channel.call(OAuth.disconnect, OAuth.DisconnectRequest(), options: options)
      #expect(site.world.accounts.audit == ["connected", "disconnected", "revoked"])
      #expect(site.world.accounts.actors == [actor, actor, actor])
    }
  }

  @Test("A refresh that is broken off is no fault of ours: the call is told that it was cancelled")
  func brokenOff() async throws {
    try await onSite { site in
      try await site.world.connect()
      site.world.now = site.world.now + .seconds(4000)
      site.world.google.duringRequest = { throw CancellationError() }
      let failure = await Self.failure {
        _ = try await site.channel.call(
          OAuth.getAccessToken, OAuth.GetAccessTokenRequest(), options: site.options("mailer"))
      }
      #expect(failure == "CANCELLED -")
      #expect(site.world.accounts.rows[site.world.user]?.refreshLease == nil)
    }
  }

  @Test("Profiles of all states")
  func profiles() async throws {
    try await onSite { site in
      func profile() async throws -> OAuth.GetProfileResponse {
        try await site.channel.call(OAuth.getProfile, OAuth.GetProfileRequest(), options: site.options())
      }
      let never = try await profile()
      #expect(never.status == .neverConnected && !never.gmailConnected && never.emailAddress == nil)
      try await site.world.connect()
      let account = try #require(site.world.accounts.rows[site.world.user])
      _ = try await site.world.accounts.requireReauth(site.world.user, of: account, reason: "invalid_rapt")
      let reauth = try await profile()
      #expect(reauth.status == .reauthRequired && !reauth.gmailConnected)
      #expect(reauth.emailAddress == "ann@example.com" && reauth.reauthReason == "invalid_rapt")
      for _ in 0..<2 {
        _ = try await site.channel.call(OAuth.disconnect, OAuth.DisconnectRequest(), options: site.options())
      }
      let gone = try await profile()
      #expect(gone.status == .disconnected && gone.emailAddress == nil && gone.scopes.isEmpty)
      #expect(gone.connectedAt == nil && gone.reauthReason == nil)
    }
  }

  @Test("Each failure has its code and reason")
  func failures() async throws {
    try await onSite { site in
      let token = await Self.failure {
        _ = try await site.channel.call(
          OAuth.getAccessToken, OAuth.GetAccessTokenRequest(), options: site.options("mailer"))
      }
      #expect(token == "FAILED_PRECONDITION not_connected")
      var long = OAuth.GetAccessTokenRequest()
      long.minLifetime = ProtobufDuration(.seconds(1801))
      let lifetime = await Self.failure {
        _ = try await site.channel.call(OAuth.getAccessToken, long, options: site.options("mailer"))
      }
      #expect(lifetime == "INVALID_ARGUMENT invalid_request")
      var start = OAuth.StartAuthorizationRequest()
      start.redirectURL = "https://evil.example/"
      let redirect = await Self.failure {
        _ = try await site.channel.call(OAuth.startAuthorization, start, options: site.options())
      }
      #expect(redirect == "INVALID_ARGUMENT redirect_url_not_allowed")
      var end = OAuth.CompleteAuthorizationRequest()
      end.state = FlowState.random().text
      end.code = "c"
      let state = await Self.failure {
        _ = try await site.channel.call(OAuth.completeAuthorization, end, options: site.options())
      }
      #expect(state == "INVALID_ARGUMENT invalid_state")
      let binding = await Self.failure {
        _ = try await site.channel.call(OAuth.completeAuthorization, end, options: site.options(user: ""))
      }
      #expect(binding == "INVALID_ARGUMENT user_binding_required")
      site.world.now = site.world.now + .seconds(1)
      try await site.world.connect()
      site.world.now = site.world.now + .seconds(4000)
      let google = await Self.failure {
        _ = try await site.channel.call(
          OAuth.getAccessToken, OAuth.GetAccessTokenRequest(), options: site.options("mailer"))
      }
      #expect(google == "UNAVAILABLE google_unavailable")
    }
  }

  @Test("A connection whose state is used up cannot be tried again: whoever is away, it is to begin anew")
  func abandoned() async throws {
    try await onSite { site in
      for isVault in [false, true] {
        var start = OAuth.StartAuthorizationRequest()
        start.redirectURL = "https://crm.example.com/done?x=1"
        let page = try await site.channel.call(OAuth.startAuthorization, start, options: site.options())
        let query = queryItems(page.authorizationURL)
        let token = try site.world.google.idToken(nonce: query["nonce"] ?? "")
        site.world.google.answers = [isVault ? grant(refresh: "r", idToken: token) : .unavailable]
        site.world.vault.isAway = isVault
        var end = OAuth.CompleteAuthorizationRequest()
        end.state = query["state"] ?? ""
        end.code = "google-code"
        let failure = await Self.failure {
          _ = try await site.channel.call(OAuth.completeAuthorization, end, options: site.options())
        }
        #expect(failure == "ABORTED \(isVault ? "vault" : "google")_unavailable")
        let again = await Self.failure {
          _ = try await site.channel.call(OAuth.completeAuthorization, end, options: site.options())
        }
        #expect(again == "INVALID_ARGUMENT invalid_state")
      }
      #expect(site.world.accounts.rows.isEmpty)
    }
  }

  @Test("What is wrong with a request is told by its field")
  func fields() async throws {
    try await onSite { site in
      func fields(_ body: () async throws -> Void) async -> [String] {
        do {
          try await body()
          return []
        } catch {
          return (error as? RPCError)?.badRequest?.fieldViolations.map(\.field) ?? ["\(error)"]
        }
      }
      var start = OAuth.StartAuthorizationRequest()
      start.redirectURL = "https://crm.example.com/done?x=1"
      var hint = start
      hint.loginHint = "a\u{0}"
      var email = start
      email.expectedEmail = "nobody"
      for (request, field) in [(hint, "login_hint"), (email, "expected_email")] {
        let named = await fields {
          _ = try await site.channel.call(OAuth.startAuthorization, request, options: site.options())
        }
        #expect(named == [field])
      }
      var token = OAuth.GetAccessTokenRequest()
      token.minLifetime = ProtobufDuration()
      token.minLifetime?.nanos = -1
      var refusal = OAuth.GetAccessTokenRequest()
      refusal.refused = OAuth.TokenRefusal()
      refusal.refused?.reason = OAuth.TokenRefusal.Reason(rawValue: 9)
      for (request, field) in [(token, "min_lifetime"), (refusal, "refused.reason")] {
        let named = await fields {
          _ = try await site.channel.call(OAuth.getAccessToken, request, options: site.options("mailer"))
        }
        #expect(named == [field])
      }
    }
  }

  @Test("Tokens are for the mailer alone, and no call is answered without a context")
  func identities() async throws {
    try await onSite { site in
      try await site.world.connect()
      let edge = await Self.failure {
        _ = try await site.channel.call(
          OAuth.getAccessToken, OAuth.GetAccessTokenRequest(), options: site.options("edge"))
      }
      #expect(edge.hasPrefix("UNAUTHENTICATED"))
      let nobody = await Self.failure {
        _ = try await site.channel.call(OAuth.getProfile, OAuth.GetProfileRequest())
      }
      #expect(nobody.hasPrefix("UNAUTHENTICATED"))
      let scope = await Self.failure {
        _ = try await site.channel.call(
          OAuth.disconnect, OAuth.DisconnectRequest(), options: site.options(scopes: ["send", "read"]))
      }
      #expect(scope.hasPrefix("PERMISSION_DENIED"))
      #expect(site.world.accounts.rows[site.world.user]?.status == .active)
    }
  }

  @Test("A watcher is told that it has begun, and then of every change")
  func watch() async throws {
    try await onSite { site in
      let call = try site.channel.call(
        OAuth.watchConnections, OAuth.WatchConnectionsRequest(), options: site.options("mailer", user: "", tenant: ""))
      var events = call.responses.makeAsyncIterator()
      let first = try await events.next()?.event
      #expect(first == .started(OAuth.WatchConnectionsResponse.WatchStarted()))
      site.feed.publish(ConnectionNotice(user: site.world.user, status: .reauthRequired, grantVersion: 7))
      guard case .change(let change) = try await events.next()?.event else {
        Issue.record("no change came")
        return
      }
      #expect(change.tenantID == "default" && change.userID == site.world.user.user)
      #expect(change.status == .reauthRequired && change.grantVersion == 7)
      site.feed.listeningBegan()
      let end = await Self.failure { _ = try await events.next() }
      #expect(end == "UNAVAILABLE unavailable", "notices may have been missed")
    }
  }
}
