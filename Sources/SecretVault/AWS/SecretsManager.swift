import CivilTime
import EventLoop
import HTTPSClient
import HTTPTypes
import StrictJSON
import TLSSession
import URLSyntax

/// AWS Secrets Manager's JSON 1.1 protocol: one POST an operation, signed.
///
/// Repeats what is safe to repeat (every operation here is idempotent; writes carry a request token) when the service
/// is throttling, failing or out of reach.
final class SecretsManager {
  /// A refusal that the caller may know what to do about.
  struct Refusal: Error {
    let type: String
    let message: String
  }

  private let settings: AWSSettings
  private let chain: AWSCredentialChain
  private let client: HTTPSClient
  private let reactor: Reactor

  static let maxAttempts = 5
  /// For an operation with all its repetitions.
  static let totalTime: Duration = .seconds(15)

  init(_ settings: AWSSettings, chain: AWSCredentialChain, client: HTTPSClient, reactor: Reactor) {
    self.settings = settings
    self.chain = chain
    self.client = client
    self.reactor = reactor
  }

  /// - Throws: `Refusal` for what the service says of this request; `VaultError` for the rest.
  func call(_ operation: String, _ body: [UInt8]) async throws -> JSONObject {
    var backoff = Backoff(initial: .milliseconds(100), multiplier: 2, limit: .seconds(3), jitter: 0.5)
    let deadline = reactor.now + Self.totalTime
    var last = VaultError(.unavailable, "Secrets Manager cannot be reached")
    for attempt in 1...Self.maxAttempts {
      switch try await attemptCall(operation, body) {
      case .success(let object): return object
      case .refused(let refusal): throw refusal
      case .retry(let error):
        last = error
        let pause = backoff.next()
        guard attempt < Self.maxAttempts, reactor.now + pause < deadline else { throw last }
        do {
          try await reactor.sleep(for: pause)
        } catch {
          throw VaultError(.cancelled, "the task was cancelled")
        }
      }
    }
    throw last
  }

  private enum Outcome {
    case success(JSONObject)
    case refused(Refusal)
    case retry(VaultError)
  }

  private func attemptCall(_ operation: String, _ body: [UInt8]) async throws(VaultError) -> Outcome {
    let credentials = try await chain.credentials()
    let request = signed(operation, body, credentials, at: .now())
    var options = HTTPSClient.Options()
    options.timeout = .seconds(5)
    options.connectTimeout = .seconds(3)
    let response: HTTPSClient.Response
    do {
      response = try await client.send(request, body: RequestBody(body), options: options)
    } catch {
      if error.code == .cancelled { throw VaultError(.cancelled, "the task was cancelled") }
      if error.code == .invalidRequest { throw VaultError(.configuration, error.message) }
      return .retry(VaultError(.unavailable, "Secrets Manager: \(error.code.description)"))
    }
    let object = try? JSONValue(parsing: response.body).objectValue
    let status = response.head.status.code
    if status == 200 {
      guard let object else { return .retry(VaultError(.unavailable, "Secrets Manager's answer is no JSON object")) }
      return .success(object)
    }
    // "ResourceNotFoundException", or "com.amazonaws.secretsmanager#ResourceNotFoundException", or with ":http://…".
    let raw = object?["__type"]?.stringValue ?? response.head.headerFields[Self.errorType] ?? ""
    let type = String((raw.split(separator: "#").last ?? "").prefix { $0 != ":" })
    switch type {
    case _ where status >= 500 || status == 429, "ThrottlingException", "Throttling", "TooManyRequestsException",
      "RequestLimitExceeded", "InternalServiceError", "ServiceUnavailable":
      return .retry(VaultError(.unavailable, "Secrets Manager answered \(status) \(type)"))
    case "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidSignatureException",
      "InvalidClientTokenId":
      chain.invalidate()
      return .retry(VaultError(.denied, "Secrets Manager refuses our credentials: \(type)"))
    case "AccessDeniedException", "AccessDenied", "IncompleteSignature", "MissingAuthenticationToken",
      "DecryptionFailure", "EncryptionFailure":
      throw VaultError(.denied, "Secrets Manager refuses us: \(type)")
    default:
      let message = object?["message"]?.stringValue ?? object?["Message"]?.stringValue ?? ""
      return .refused(Refusal(type: type, message: message))
    }
  }

  private func signed(
    _ operation: String, _ body: [UInt8], _ credentials: AWSCredentials, at time: Timestamp
  ) -> HTTPRequest {
    let endpoint = settings.endpoint
    var headers = [
      ("content-type", "application/x-amz-json-1.1"), ("host", endpoint.authority), ("x-amz-date", time.basicISO8601),
      ("x-amz-target", "secretsmanager.\(operation)"),
    ]
    if let token = credentials.sessionToken { headers.append(("x-amz-security-token", token.revealedText)) }
    let signature = SignatureV4(credentials: credentials, region: settings.region, service: "secretsmanager")
      .authorization(method: "POST", path: "/", headers: headers, body: body, at: time)
    var request = HTTPRequest(.post, to: endpoint, path: "/")
    for (name, value) in headers where name != "host" {
      request.headerFields.append(HTTPField(name: HTTPField.Name(name)!, value: value))
    }
    request.headerFields.append(HTTPField(name: .authorization, value: signature))
    return request
  }

  private static let errorType = HTTPField.Name("x-amzn-ErrorType")!
}
