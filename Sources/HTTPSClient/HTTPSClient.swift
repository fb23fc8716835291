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
  private let multi: UnsafeMutableRawPointer
  private var watches: [Int32: SocketWatch] = [:]
  private var timer: Timer?
  private var lastID: UInt64 = 0
  private var active: [UInt64: Transfer] = [:]
  private var waiting: Deque<UInt64> = []
  private var waitingTransfers: [UInt64: Transfer] = [:]
  private var freeHandles: [EasyHandle] = []
  private var isClosed = false
  private var isReapingResults = false

  /// How many idle handles are kept.
  private static let maxFreeHandles = 64

  /// - Throws: ``HTTPSClientError`` with `system` when libcurl does not start.
  package init(reactor: Reactor, configuration: Configuration = Configuration()) throws(HTTPSClientError) {
    guard LibCurl.isReady, let multi = curl_multi_init() else {
      throw HTTPSClientError(.system, "libcurl does not start")
    }
    self.reactor = reactor
    self.configuration = configuration
    self.multi = multi
    emcurl_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
    emcurl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, configuration.maxConnectionsPerHost)
    emcurl_multi_set_long(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, configuration.maxConnections)
    emcurl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, configuration.maxConnections)
    emcurl_multi_set_long(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, configuration.maxStreamsPerConnection)
    let context = Unmanaged.passUnretained(self).toOpaque()
    emcurl_multi_set_pointer(multi, CURLMOPT_SOCKETDATA, context)
    emcurl_multi_set_pointer(multi, CURLMOPT_TIMERDATA, context)
    emcurl_multi_set_socket(multi) { _, fd, what, context, _ in
      guard let context else { return 0 }
      Unmanaged<HTTPSClient>.fromOpaque(context).takeUnretainedValue().watch(fd, what)
      return 0
    }
    emcurl_multi_set_timer(multi) { _, milliseconds, context in
      guard let context else { return 0 }
      Unmanaged<HTTPSClient>.fromOpaque(context).takeUnretainedValue().setTimer(milliseconds)
      return 0
    }
  }

  deinit {
    // Whoever waits for a request holds the client, so that none is under way here.
    emcurl_multi_set_socket(multi, nil)
    emcurl_multi_set_timer(multi, nil)
    timer?.cancel()
    for fd in watches.keys { reactor.deregister(fd) }
    freeHandles = []
    curl_multi_cleanup(multi)
  }

  /// Requests under way or waiting.
  package var requestCount: Int { active.count + waitingTransfers.count }

  /// Sends one request and waits for its whole response, whatever its status.
  ///
  /// - Throws: ``HTTPSClientError``, whose observation says whether the server may have acted on the request.
  package func send(
    _ request: HTTPRequest, body: RequestBody = .none, options: Options = Options()
  ) async throws(HTTPSClientError) -> Response {
    let transfer = try makeTransfer(request, body: body, options: options)
    let hook = CancellationHook(client: self, loop: reactor.loop)
    let id = transfer.id
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        transfer.continuation = continuation
        admit(transfer)
      }
    } onCancel: {
      hook.cancel(id)
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
    transfer.deadline = reactor.schedule(after: transfer.options.timeout) { [weak self, unowned transfer] in
      let failure = Transfer.Failure(
        code: .timeout, message: "\(transfer.target.host): no answer within \(transfer.options.timeout)")
      self?.end(transfer, .failure(failure))
    }
    if startsNow {
      start(transfer)
      // Not from within libcurl's results: the timer that libcurl has set does it then.
      if !isReapingResults { drive(CURL_SOCKET_BAD, events: 0) }
    } else {
      waiting.append(transfer.id)
      waitingTransfers[transfer.id] = transfer
    }
  }

  private func start(_ transfer: Transfer) {
    guard let handle = freeHandles.popLast() ?? EasyHandle(configuration: configuration) else {
      transfer.finish(.failure(Transfer.Failure(code: .system, message: "no memory for a libcurl handle")))
      return
    }
    transfer.prepare(handle)
    active[transfer.id] = transfer
    let code = curl_multi_add_handle(multi, handle.curl)
    if code != CURLM_OK {
      active[transfer.id] = nil
      transfer.release()
      transfer.finish(.failure(Transfer.Failure(code: .system, message: String(cString: curl_multi_strerror(code)))))
    }
  }

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
      curl_multi_remove_handle(multi, handle.curl)
      transfer.release()
      if freeHandles.count < Self.maxFreeHandles && !isClosed { freeHandles.append(handle) }
    }
    transfer.finish(result)
    if !isReapingResults { startWaiting() }
  }

  fileprivate func cancel(_ id: UInt64) {
    guard let transfer = active[id] ?? waitingTransfers[id] else { return }
    end(transfer, .failure(Transfer.Failure(code: .cancelled, message: "the task was cancelled")))
  }

  func socketIsReady(_ fd: Int32, events: Int32) { drive(fd, events: events) }

  private func drive(_ fd: Int32, events: Int32) {
    var running: Int32 = 0
    curl_multi_socket_action(multi, fd, events, &running)
    reapResults()
  }

  private func reapResults() {
    isReapingResults = true
    var code = CURLE_OK
    while let curl = emcurl_next_done(multi, &code) {
      var context: UnsafeMutableRawPointer?
      emcurl_get_pointer(curl, CURLINFO_PRIVATE, &context)
      guard let transfer = Transfer.from(context), let handle = transfer.handle else { continue }
      end(transfer, transfer.outcome(of: code, handle: handle))
    }
    startWaiting()
    isReapingResults = false
  }

  private func watch(_ fd: Int32, _ what: Int32) {
    if what == CURL_POLL_REMOVE {
      if watches.removeValue(forKey: fd) != nil { reactor.deregister(fd) }
      return
    }
    var interest: Interest = []
    if what & CURL_POLL_IN != 0 { interest.insert(.readable) }
    if what & CURL_POLL_OUT != 0 { interest.insert(.writable) }
    do {
      if watches[fd] != nil {
        try reactor.update(fd, interest)
      } else {
        let watch = SocketWatch(fd: fd, client: self)
        try reactor.register(fd, interest, watch)
        watches[fd] = watch
      }
    } catch {
      // An unwatched socket ends at the request's deadline; the system is out of descriptors or memory.
    }
  }

  private func setTimer(_ milliseconds: Int) {
    timer?.cancel()
    timer = nil
    guard milliseconds >= 0 else { return }
    timer = reactor.schedule(after: .milliseconds(milliseconds)) { [weak self] in
      guard let self else { return }
      self.timer = nil
      self.drive(CURL_SOCKET_BAD, events: 0)
    }
  }
}

/// Carries a cancellation, which may come from any thread, to the client's loop.
///
/// Unchecked: the client is only looked at on its own loop, where `execute` runs.
private struct CancellationHook: @unchecked Sendable {
  weak let client: HTTPSClient?
  let loop: EventLoop

  func cancel(_ id: UInt64) {
    loop.execute { _ in client?.cancel(id) }
  }
}
