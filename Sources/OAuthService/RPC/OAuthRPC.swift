import CivilTime
import Logging
import PostgresClient
import RPCRuntime
import ServiceContracts
import TLSSession

/// `emailmcp.oauth.v1.OAuth` over the objects that do the work. One a loop.
final class OAuthRPC: OAuth.Service {
  private let authorizer: Authorizer
  private let keeper: TokenKeeper
  private let disconnector: Disconnector
  private let accounts: any AccountStore
  private let feed: ConnectionFeed
  private let logger: Logger

  init(
    authorizer: Authorizer, keeper: TokenKeeper, disconnector: Disconnector, accounts: any AccountStore,
    feed: ConnectionFeed, logger: Logger
  ) {
    self.authorizer = authorizer
    self.keeper = keeper
    self.disconnector = disconnector
    self.accounts = accounts
    self.feed = feed
    self.logger = logger
  }

  func startAuthorization(
    _ request: OAuth.StartAuthorizationRequest, _ call: ServiceCall
  ) async throws -> OAuth.StartAuthorizationResponse {
    try await answering {
      let wish = try AuthorizationRequest(
        redirectURL: request.redirectURL, loginHint: request.loginHint, expectedEmail: request.expectedEmail)
      let (url, expiresAt) = try await authorizer.start(
        wish, for: call.user, credentialID: call.context.credentialID)
      var response = OAuth.StartAuthorizationResponse()
      response.authorizationURL = url
      response.expiresAt = ProtobufTimestamp(expiresAt)
      return response
    }
  }

  func sealCallback(
    _ request: OAuth.SealCallbackRequest, _ call: ServiceCall
  ) async throws -> OAuth.SealCallbackResponse {
    try await answering {
      let result = try CallbackResult(state: request.state, code: request.code, error: request.error)
      var response = OAuth.SealCallbackResponse()
      response.location = try await authorizer.sealCallback(result)
      return response
    }
  }

  func completeAuthorization(
    _ request: OAuth.CompleteAuthorizationRequest, _ call: ServiceCall
  ) async throws -> OAuth.CompleteAuthorizationResponse {
    try await answering {
      guard !call.userID.isEmpty else { throw OAuthFailure.userBindingRequired }
      let result = try CallbackResult(state: request.state, code: request.code, error: request.error)
      let completion = try await authorizer.complete(result, for: call.user, actor: call.actor)
      var response = OAuth.CompleteAuthorizationResponse()
      response.userID = call.userID
      response.emailAddress = completion.email
      response.redirectURL = completion.redirectURL
      response.scopes = completion.scopes
      return response
    }
  }

  func getProfile(_ request: OAuth.GetProfileRequest, _ call: ServiceCall) async throws -> OAuth.GetProfileResponse {
    try await answering {
      let account = try await accounts.find(call.user)
      return OAuth.GetProfileResponse(account, userID: call.userID)
    }
  }

  func getAccessToken(
    _ request: OAuth.GetAccessTokenRequest, _ call: ServiceCall
  ) async throws -> OAuth.GetAccessTokenResponse {
    try await answering {
      let (token, account) = try await keeper.accessToken(of: call.user, try TokenDemand(request))
      var response = OAuth.GetAccessTokenResponse()
      response.accessToken = token.revealedText
      response.expiresAt = account.accessTokenExpiry.map { ProtobufTimestamp($0) }
      response.tokenVersion = account.tokenVersion
      response.grantVersion = account.grantVersion
      response.emailAddress = account.email
      response.googleSub = account.googleSub
      response.scopes = account.scopes
      return response
    }
  }

  func disconnect(_ request: OAuth.DisconnectRequest, _ call: ServiceCall) async throws -> OAuth.DisconnectResponse {
    try await answering {
      try await disconnector.disconnect(call.user, actor: call.actor)
      return OAuth.DisconnectResponse()
    }
  }

  func watchConnections(
    _ request: OAuth.WatchConnectionsRequest, _ writer: MessageWriter<OAuth.WatchConnectionsResponse>,
    _ call: ServiceCall
  ) async throws {
    try await answering {
      let watcher = try await feed.watch()
      defer { feed.end(watcher) }
      var response = OAuth.WatchConnectionsResponse()
      response.event = .started(OAuth.WatchConnectionsResponse.WatchStarted())
      try await writer.write(response)
      while true {
        for notice in try await feed.next(watcher) {
          response.event = .change(OAuth.ConnectionChange(notice, at: .now()))
          try await writer.write(response)
        }
      }
    }
  }

  /// Every failure leaves as a status with a reason and nothing internal; what happened goes to the log.
  private func answering<Response>(_ body: () async throws -> Response) async throws -> Response {
    do {
      return try await body()
    } catch let failure as OAuthFailure {
      throw RPCError(failure)
    } catch let error as RPCError {
      throw error
    } catch is CancellationError {
      throw CancellationError()
    } catch is ConnectionFeed.Lost {
      throw RPCError(.unavailable, reason: "unavailable", "Changes were missed; watch anew.")
    } catch let error as PostgresError where error.isUnavailable {
      logger.warning("the database is away", metadata: ["error": "\(error.code)"])
      throw RPCError(.unavailable, reason: "unavailable", "The service is not available just now. Try again.")
    } catch {
      logger.error("unexpected failure", metadata: ["error": "\(error)"])
      throw RPCError(.internal, reason: "internal", "Something went wrong on our side.")
    }
  }
}

extension ServiceCall {
  fileprivate var user: UserKey { UserKey(tenant: tenantID, user: userID) }

  /// Whom the audit names.
  fileprivate var actor: String { context.credentialID.isEmpty ? context.issuer : context.credentialID }
}
