import EventLoop
import HTTPServer
import HTTPTypes

/// The stand-in behind an HTTP server: reads whole requests, acts out delays and closed connections.
final class SandboxServer {
  private let sandbox: Sandbox
  private let reactor: Reactor
  private var server: HTTPServer!

  /// The largest request: the largest upload, its other part, and room for boundaries.
  static let maxBodyBytes = SendRequest.maxUploadBytes + (64 << 10)

  init(_ sandbox: Sandbox, on reactor: Reactor) {
    self.sandbox = sandbox
    self.reactor = reactor
    // A request that was read in the server's last moment finds nobody.
    server = HTTPServer(on: reactor) { [weak self] request in try await self?.respond(to: request) ?? .abandoned }
  }

  @discardableResult
  func listen(_ address: SocketAddress) throws -> SocketAddress { try server.listen(address) }

  func drain(timeout: Duration) async { await server.drain(timeout: timeout) }

  func close() { server.close() }

  private func respond(to request: HTTPServerRequest) async throws -> HTTPServerResponse {
    let body: [UInt8]
    do {
      body = try await request.body.collect(upTo: Self.maxBodyBytes)
    } catch let error as HTTPBodyError where error == .tooLarge {
      return response(.error(.uploadTooLarge))
    }
    let received = SandboxRequest(
      method: request.head.method, target: request.head.path ?? "/", host: request.head.authority ?? "localhost",
      fields: request.head.headerFields, body: body)
    guard let received else { return response(.text(400, "the query is malformed")) }
    let answer = sandbox.answer(received)
    if answer.delay > .zero { try await reactor.sleep(for: answer.delay) }
    return answer.closes ? .abandoned : response(answer)
  }

  private func response(_ answer: SandboxAnswer) -> HTTPServerResponse {
    let status = Self.statuses[answer.status] ?? HTTPResponse.Status(code: answer.status)
    return HTTPServerResponse(status, headers: answer.fields, body: answer.body)
  }

  /// With their reason phrases, which some HTTP/1.1 clients show.
  private static let statuses: [Int: HTTPResponse.Status] = {
    let known: [HTTPResponse.Status] = [
      .ok, .created, .noContent, .found, .badRequest, .unauthorized, .forbidden, .notFound, .contentTooLarge,
      .tooManyRequests, .internalServerError, .badGateway, .serviceUnavailable, .gatewayTimeout,
    ]
    return Dictionary(uniqueKeysWithValues: known.map { ($0.code, $0) })
  }()
}
