import CivilTime
import EventLoop
import HTTPSClient
import HTTPTypes
import SecretVault
import ServiceKit
import TLSSession

/// Carries one webhook to its endpoint. What a tenant's URL can make us do is bounded: https alone, to a public address
/// that is resolved once and then connected to, no redirect, 15 s, 16 KiB of answer, which nobody reads.
final class WebhookSender {
  static let timeout: Duration = .seconds(15)
  static let maximumAnswer = 16 << 10

  private let reactor: Reactor
  private let http: HTTPSClient
  private let seal: ColumnSeal
  /// For development: endpoints on this very machine, plain http included.
  private let allowsLoopback: Bool

  init(reactor: Reactor, http: HTTPSClient, seal: ColumnSeal, allowsLoopback: Bool) {
    self.reactor = reactor
    self.http = http
    self.seal = seal
    self.allowsLoopback = allowsLoopback
  }

  func send(_ claim: WebhookStore.Claim) async throws -> WebhookAnswer {
    guard let url = WebhookURL(claim.url), allowsLoopback || !url.isPlaintext else {
      return .refused("the URL is not https")
    }
    let secrets = try [claim.sealedSecret, claim.previousSecret].compactMap { $0 }.map { sealed in
      try seal.open(
        sealed, for: WebhookSecret.place(tenantID: claim.tenantID, endpointID: claim.endpointID))
    }.compactMap { WebhookSecret(bytes: $0) }
    let addresses: [SocketAddress]
    do {
      addresses = try await reactor.resolve(host: url.host, port: url.port)
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      return .failure("the name does not resolve")
    }
    // A name with one private address among public ones is refused whole.
    guard let address = addresses.first, addresses.allSatisfy({ isAllowed($0, url) }) else {
      return .refused("the address is not public")
    }
    var options = HTTPSClient.Options()
    options.timeout = Self.timeout
    options.maxBodyBytes = Self.maximumAnswer
    options.address = address
    do {
      let response = try await http.send(
        Self.request(claim, url, secrets), body: RequestBody(claim.payload), options: options)
      return Self.answer(response.head)
    } catch {
      if error.code == .cancelled { throw CancellationError() }
      // The status has come; what follows it is too long, and nobody wants it.
      if let status = error.observation.status, error.code == .bodyTooLarge {
        return .status(status, retryAfter: nil)
      }
      return .failure("\(error.code)")
    }
  }

  private func isAllowed(_ address: SocketAddress, _ url: WebhookURL) -> Bool {
    if allowsLoopback, address.isLoopback { return true }
    return !url.isPlaintext && PublicAddress.contains(address.host)
  }

  private static func request(
    _ claim: WebhookStore.Claim, _ url: WebhookURL, _ secrets: [WebhookSecret]
  ) -> HTTPRequest {
    var request = HTTPRequest(method: .post, scheme: url.scheme, authority: url.authority, path: url.path)
    let time = Timestamp.now().seconds
    request.headerFields[.contentType] = "application/json"
    request.headerFields[.userAgent] = "EmailMCP-Webhooks/1"
    request.headerFields[.webhookID] = claim.id
    request.headerFields[.webhookTimestamp] = String(time)
    request.headerFields[.webhookSignature] = secrets.map {
      $0.signature(id: claim.id, timestamp: time, body: claim.payload)
    }.joined(separator: " ")
    return request
  }

  static func answer(_ head: HTTPResponse) -> WebhookAnswer {
    .status(head.status.code, retryAfter: head.headerFields[.retryAfter].flatMap { Int($0) })
  }
}

extension HTTPField.Name {
  fileprivate static let webhookID = Self("webhook-id")!
  fileprivate static let webhookTimestamp = Self("webhook-timestamp")!
  fileprivate static let webhookSignature = Self("webhook-signature")!
  fileprivate static let retryAfter = Self("Retry-After")!
}
