import CivilTime
import HTTPSClient
import HTTPTypes
import Logging
import RPCRuntime
import ServiceKit
import TLSSession
import URLSyntax

/// Google's OAuth server over HTTPS. One a loop; the keys are shared by all loops.
///
/// Nothing here repeats a request that may have been acted on: a code and a rotated refresh token are good once.
/// Neither bodies nor their parts are ever logged.
final class GoogleHTTP: GoogleOAuth {
  private let http: HTTPSClient
  private let client: GoogleClientSource
  private let endpoints: GoogleEndpoints
  private let keys: SharedKeyCache
  private let tracer: Tracer?
  private let logger: Logger
  private let now: () -> Timestamp

  private static let timeout: Duration = .seconds(8)

  init(
    http: HTTPSClient, client: GoogleClientSource, endpoints: GoogleEndpoints, keys: SharedKeyCache,
    tracer: Tracer? = nil, logger: Logger, now: @escaping () -> Timestamp = { .now() }
  ) {
    self.http = http
    self.client = client
    self.endpoints = endpoints
    self.keys = keys
    self.tracer = tracer
    self.logger = logger
    self.now = now
  }

  func exchange(code: SecretBytes, verifier: PKCEVerifier) async throws -> TokenAnswer {
    guard let client = client.current else { return .misconfigured(error: "no client is configured") }
    return try await token(
      client,
      [
        ("grant_type", "authorization_code"), ("code", code.revealedText),
        ("code_verifier", verifier.secret.revealedText), ("redirect_uri", client.redirectURI.description),
      ])
  }

  func refresh(_ refreshToken: SecretBytes) async throws -> TokenAnswer {
    guard let client = client.current else { return .misconfigured(error: "no client is configured") }
    return try await token(client, [("grant_type", "refresh_token"), ("refresh_token", refreshToken.revealedText)])
  }

  private func token(_ client: GoogleClient, _ pairs: [(name: String, value: String)]) async throws -> TokenAnswer {
    let credentials = [
      (name: "client_id", value: client.id), (name: "client_secret", value: client.secret.revealedText),
    ]
    guard let response = try await post(pairs + credentials, to: endpoints.token) else { return .unavailable }
    let answer = TokenAnswer(status: response.head.status.code, body: response.body)
    if case .unavailable = answer {
      logger.warning("the token endpoint gave no usable answer", metadata: ["status": "\(response.head.status.code)"])
    }
    return answer
  }

  func revoke(_ token: SecretBytes) async throws -> Bool {
    guard let response = try await post([("token", token.revealedText)], to: endpoints.revocation) else { return false }
    // 400 says that the token is unknown or dead already (RFC 7009 wants 200 for that; Google differs).
    return response.head.status.code == 200 || response.head.status.code == 400
  }

  func signingKey(_ id: String) async throws -> PublicKey? {
    switch keys.lookup(id, now: now()) {
    case .key(let key): return key
    case .unknown: return nil
    case .fetch:
      let (set, maxAge) = try await fetchKeys()
      keys.fetched(set, maxAge: maxAge, now: now())
      if case .key(let key) = keys.lookup(id, now: now()) { return key }
      return nil
    }
  }

  private func fetchKeys() async throws -> (set: KeySet?, maxAge: Duration?) {
    var options = HTTPSClient.Options()
    options.timeout = Self.timeout
    options.maxBodyBytes = KeySet.bodyLimit
    let request = HTTPRequest(.get, to: endpoints.keys, headerFields: [.accept: "application/json"])
    guard let response = try await send(request, .none, options), response.head.status == .ok else {
      return (nil, nil)
    }
    return (KeySet(body: response.body), KeyCache.maxAge(response.head.headerFields[.cacheControl]))
  }

  private func post(
    _ pairs: [(name: String, value: String)], to endpoint: HTTPURL
  ) async throws -> HTTPSClient.Response? {
    var options = HTTPSClient.Options()
    options.timeout = Self.timeout
    options.maxBodyBytes = TokenAnswer.bodyLimit
    let request = HTTPRequest(
      .post, to: endpoint,
      headerFields: [.contentType: "application/x-www-form-urlencoded", .accept: "application/json"])
    return try await send(request, RequestBody(Array(QueryEncoding.encode(pairs).utf8)), options)
  }

  /// Nil for a transport failure, which is Google's unavailability; only cancellation is thrown.
  private func send(
    _ request: HTTPRequest, _ body: RequestBody, _ options: HTTPSClient.Options
  ) async throws -> HTTPSClient.Response? {
    let span = tracer?.startRequest(method: request.method.rawValue, authority: request.authority ?? "")
    do throws(HTTPSClientError) {
      let response = try await http.send(request, body: body, options: options)
      span?.end(status: response.head.status.code)
      return response
    } catch {
      span?.end(failure: "\(error.code)")
      if error.code == .cancelled { throw CancellationError() }
      logger.warning("Google was not reached", metadata: ["error": "\(error.code)"])
      return nil
    }
  }
}
