import CivilTime
import EventLoop
import HTTPSClient
import HTTPTypes
import SecretVault
import ServiceKit
import TLSSession

/// Carries one webhook to its endpoint. What a tenant's URL can make us do is bounded: https alone, to a public address
/// that is resolved once and then connected to, no redirect, 15 s after the name's 5, and of the answer's body, which nobody
/// reads, 16 KiB and a second.
final class WebhookSender {
  static let timeout: Duration = .seconds(15)
  static let maximumAnswer = 16 << 10
  /// For the answer's body: one that comes at once leaves a connection that can serve the next event. The status has been told
  /// before it.
  static let bodyTimeout: Duration = .seconds(1)
  /// Addresses of a name that are tried, each for a while, until one takes a connection.
  static let mostAddresses = 4
  static let connectTimeout: Duration = .seconds(3)

  private let http: HTTPSClient
  private let seal: ColumnSeal
  /// For development: endpoints on this very machine, plain http included.
  private let allowsLoopback: Bool
  private let names: WebhookNames

  init(http: HTTPSClient, names: WebhookNames, seal: ColumnSeal, allowsLoopback: Bool) {
    self.names = names
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
      addresses = try await names.addresses(of: url.host, port: url.port, tenantID: claim.tenantID)
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      return .failure("the name does not resolve")
    }
    // A name with one private address among public ones is refused whole.
    guard !addresses.isEmpty, addresses.allSatisfy({ isAllowed($0, url) }) else {
      return .refused("the address is not public")
    }
    let deadline = Instant.current() + Self.timeout
    for address in addresses.prefix(Self.mostAddresses) {
      if let answer = try await send(claim, url, secrets, to: address, until: deadline) { return answer }
    }
    return .failure("no address takes a connection")
  }

  /// Nil: the address takes no connection, so that another may be tried.
  private func send(
    _ claim: WebhookStore.Claim, _ url: WebhookURL, _ secrets: [WebhookSecret], to address: SocketAddress,
    until deadline: Instant
  ) async throws -> WebhookAnswer? {
    var options = HTTPSClient.Options()
    options.timeout = max(.milliseconds(1), deadline - .current())
    options.connectTimeout = Self.connectTimeout
    options.maxBodyBytes = Self.maximumAnswer
    options.bodyTimeout = Self.bodyTimeout
    options.address = address
    do {
      let response = try await http.send(
        Self.request(claim, url, secrets), body: RequestBody(claim.payload), options: options)
      return Self.answer(response.head, now: .now())
    } catch {
      if error.code == .cancelled { throw CancellationError() }
      switch error.code {
      case .connect: return nil
      case .tls: return .failure("no TLS session, or no certificate to trust")
      case .timeout: return .failure("no answer in time")
      default: return .failure("\(error.code)")
      }
    }
  }

  private func isAllowed(_ address: SocketAddress, _ url: WebhookURL) -> Bool {
    if allowsLoopback, address.isLoopback { return true }
    return !url.isPlaintext && PublicAddress.contains(address.host)
  }

  private static func request(
    _ claim: WebhookStore.Claim, _ url: WebhookURL, _ secrets: [WebhookSecret]
  ) -> HTTPRequest {
    var request = HTTPRequest(.post, to: url.url)
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

  static func answer(_ head: HTTPResponse, now: Timestamp) -> WebhookAnswer {
    let asked = head.headerFields[.retryAfter].flatMap { Timestamp(retryAfter: $0, now: now) }
    return .status(head.status.code, retryAfter: asked.map { Int($0.seconds - now.seconds) })
  }
}

extension HTTPField.Name {
  fileprivate static let webhookID = Self("webhook-id")!
  fileprivate static let webhookTimestamp = Self("webhook-timestamp")!
  fileprivate static let webhookSignature = Self("webhook-signature")!
  fileprivate static let retryAfter = Self("Retry-After")!
}
