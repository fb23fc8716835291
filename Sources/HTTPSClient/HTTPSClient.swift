import CLibCurl
import DequeModule
package import EventLoop
package import HTTPTypes

/// An HTTP client on one loop: libcurl's multi interface, fed by the loop's readiness and timers.
///
/// One a loop, not Sendable; any number of requests at a time. HTTPS with HTTP/2 where the server offers it; plain HTTP/1.1 to loopback.
/// It follows no redirect, keeps no cookie, reads no proxy from the environment, and sends no body twice (see ``TransportObservation``).
package final class HTTPSClient {
  private let reactor: Reactor
  private let configuration: Configuration
  /// https, where HTTP/2 shares connections.
  private let secure: MultiHandle
  /// http to loopback, a connection a request.
  private let plain: MultiHandle
  private var lastID: UInt64 = 0
  private var active: [UInt64: Transfer] = [:]
  private var waiting: Deque<UInt64> = []
  private var waitingTransfers: [UInt64: Transfer] = [:]
  private var freeHandles: [EasyHandle] = []
  private var isClosed = false

  /// How many idle handles are kept.
  private static let maxFreeHandles = 64

  /// - Throws: ``HTTPSClientError`` with `system` when libcurl does not start.
  package init(reactor: Reactor, configuration: Configuration = Configuration()) throws(HTTPSClientError) {
    guard
      let secure = MultiHandle(
        reactor: reactor, configuration: configuration, connectionsPerHost: configuration.maxConnectionsPerHost),
      let plain = MultiHandle(
        reactor: reactor, configuration: configuration,
        connectionsPerHost: configuration.maxPlaintextConnectionsPerHost)
    else {
      throw HTTPSClientError(.system, "libcurl does not start")
    }
    self.reactor = reactor
    self.configuration = configuration
    self.secure = secure
    self.plain = plain
    for multi in [secure, plain] {
      multi.finished = { [weak self] handle, transfer, code in
        self?.end(transfer, transfer.outcome(of: code, handle: handle))
      }
      multi.settled = { [weak self] in self?.startWaiting() }
    }
  }

  /// Requests under way or waiting.
  package var requestCount: Int { active.count + waitingTransfers.count }

  /// Sends one request and waits for its whole response, whatever its status.
  ///
  /// - Throws: ``HTTPSClientError``, whose observation says whether the server may have acted on the request.
  package func send(
    _ request: HTTPRequest, body: RequestBody = .none, options: Options = Options(),
    isolation: isolated (any Actor)? = #isolation
  ) async throws(HTTPSClientError) -> Response {
    let transfer = try makeTransfer(request, body: body, options: options)
    let client = LoopReference(self, on: reactor)
    let id = transfer.id
    let result = await withTaskCancellationHandler {
      _ = isolation  // as in `Reactor.wait`
      return await withCheckedContinuation { continuation in
        transfer.continuation = continuation
        admit(transfer)
      }
    } onCancel: {
      client.execute { $0.cancel(id) }
    }
    return try result.get()
  }

  /// Ends every request with `closed` and closes every connection. Nothing can be sent afterwards.
  package func close() {
    guard !isClosed else { return }
    isClosed = true
    let failure = Transfer.Failure(code: .closed, message: "the client was closed")
    for transfer in Array(waitingTransfers.values) + Array(active.values) { end(transfer, .failure(failure)) }
    waiting = []
  }

  private func makeTransfer(
    _ request: HTTPRequest, body: RequestBody, options: Options
  ) throws(HTTPSClientError) -> Transfer {
    guard !isClosed else { throw HTTPSClientError(.closed, "the client was closed") }
    guard !Task.isCancelled else { throw HTTPSClientError(.cancelled, "the task was cancelled") }
    let target = try RequestTarget(request, plaintextHosts: configuration.plaintextHosts)
    guard body.count <= options.maxRequestBytes else {
      throw HTTPSClientError(.invalidRequest, "the body is over \(options.maxRequestBytes) bytes")
    }
    if let field = request.headerFields.first(where: { Transfer.ownedNames.contains($0.name) }) {
      throw HTTPSClientError(.invalidRequest, "the client itself sets \(field.name)")
    }
    if body.count > 0, request.method == .get || request.method == .head {
      throw HTTPSClientError(.invalidRequest, "\(request.method) takes no body")
    }
    lastID += 1
    return Transfer(id: lastID, target: target, request: request, body: body, options: options)
  }

  private func admit(_ transfer: Transfer) {
    // A cancellation from before this point may have been looked for in vain; a later one finds the transfer.
    guard !Task.isCancelled else {
      transfer.finish(.failure(Transfer.Failure(code: .cancelled, message: "the task was cancelled")))
      return
    }
    let startsNow = active.count < configuration.maxRequestsInFlight
    guard startsNow || waitingTransfers.count < configuration.maxWaitingRequests, !isClosed else {
      let reason = isClosed ? "the client was closed" : "\(waitingTransfers.count) requests wait already"
      transfer.finish(.failure(Transfer.Failure(code: isClosed ? .closed : .overloaded, message: reason)))
      return
    }
    transfer.deadline = deadline(of: transfer, transfer.options.timeout)
    if let limit = transfer.options.bodyTimeout {
      transfer.headCame = { [weak self, unowned transfer] in
        transfer.bodyDeadline = self?.deadline(of: transfer, limit)
      }
    }
    if startsNow {
      start(transfer)
    } else {
      waiting.append(transfer.id)
      waitingTransfers[transfer.id] = transfer
    }
  }

  private func deadline(of transfer: Transfer, _ limit: Duration) -> Timer {
    reactor.schedule(after: limit) { [weak self, unowned transfer] in
      let failure = Transfer.Failure(
        code: .timeout, message: "\(transfer.target.host): no answer within \(limit)")
      self?.end(transfer, .failure(failure))
      self?.startWaiting()
    }
  }

  private func start(_ transfer: Transfer) {
    guard let handle = freeHandles.popLast() ?? EasyHandle(configuration: configuration) else {
      transfer.finish(.failure(Transfer.Failure(code: .system, message: "no memory for a libcurl handle")))
      return
    }
    transfer.prepare(handle)
    active[transfer.id] = transfer
    let code = multi(for: transfer).add(handle)
    if code != CURLM_OK {
      active[transfer.id] = nil
      transfer.release()
      transfer.finish(.failure(Transfer.Failure(code: .system, message: String(cString: curl_multi_strerror(code)))))
    }
  }

  private func multi(for transfer: Transfer) -> MultiHandle { transfer.target.isPlaintext ? plain : secure }

  private func startWaiting() {
    while !isClosed, active.count < configuration.maxRequestsInFlight, let id = waiting.popFirst() {
      guard let transfer = waitingTransfers.removeValue(forKey: id) else { continue }
      start(transfer)
    }
  }

  /// Takes a transfer out of libcurl, wherever it is, and tells its outcome.
  private func end(_ transfer: Transfer, _ result: Result<HTTPResponse, Transfer.Failure>) {
    waitingTransfers[transfer.id] = nil
    if active.removeValue(forKey: transfer.id) != nil, let handle = transfer.handle {
      multi(for: transfer).remove(handle)
      transfer.release()
      if freeHandles.count < Self.maxFreeHandles && !isClosed { freeHandles.append(handle) }
    }
    transfer.finish(result)
  }

  private func cancel(_ id: UInt64) {
    guard let transfer = active[id] ?? waitingTransfers[id] else { return }
    end(transfer, .failure(Transfer.Failure(code: .cancelled, message: "the task was cancelled")))
    startWaiting()
  }
}
