import CLibCurl
import EventLoop

/// One libcurl multi handle on the loop: its connections, its sockets among the loop's descriptors, its timer.
final class MultiHandle {
  private let reactor: Reactor
  private let multi: UnsafeMutableRawPointer
  private var watches: [Int32: SocketWatch] = [:]
  private var timer: Timer?
  /// Told each finished transfer; set by the owner.
  var finished: ((EasyHandle, Transfer, CURLcode) -> Void)?
  /// Told once a batch of finished transfers was handed out.
  var settled: (() -> Void)?
  private var isReapingResults = false

  init?(reactor: Reactor, configuration: HTTPSClient.Configuration, connectionsPerHost: Int) {
    guard LibCurl.isReady, let multi = curl_multi_init() else { return nil }
    self.reactor = reactor
    self.multi = multi
    emcurl_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
    emcurl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, connectionsPerHost)
    emcurl_multi_set_long(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, configuration.maxConnections)
    emcurl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, configuration.maxConnections)
    emcurl_multi_set_long(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, configuration.maxStreamsPerConnection)
    let context = Unmanaged.passUnretained(self).toOpaque()
    emcurl_multi_set_pointer(multi, CURLMOPT_SOCKETDATA, context)
    emcurl_multi_set_pointer(multi, CURLMOPT_TIMERDATA, context)
    emcurl_multi_set_socket(multi) { _, fd, what, context, _ in
      guard let context else { return 0 }
      Unmanaged<MultiHandle>.fromOpaque(context).takeUnretainedValue().watch(fd, what)
      return 0
    }
    emcurl_multi_set_timer(multi) { _, milliseconds, context in
      guard let context else { return 0 }
      Unmanaged<MultiHandle>.fromOpaque(context).takeUnretainedValue().setTimer(milliseconds)
      return 0
    }
  }

  deinit {
    // The owner has ended every transfer: what is left are idle connections.
    emcurl_multi_set_socket(multi, nil)
    emcurl_multi_set_timer(multi, nil)
    timer?.cancel()
    for fd in watches.keys { reactor.deregister(fd) }
    curl_multi_cleanup(multi)
  }

  func add(_ handle: EasyHandle) -> CURLMcode {
    let code = curl_multi_add_handle(multi, handle.curl)
    // At once rather than by the timer that libcurl has just set, but not from within its results.
    if code == CURLM_OK && !isReapingResults { drive(CURL_SOCKET_BAD, events: 0) }
    return code
  }

  func remove(_ handle: EasyHandle) { curl_multi_remove_handle(multi, handle.curl) }

  func drive(_ fd: Int32, events: Int32) {
    var running: Int32 = 0
    curl_multi_socket_action(multi, fd, events, &running)
    reapResults()
  }

  private func reapResults() {
    isReapingResults = true
    defer { isReapingResults = false }
    var code = CURLE_OK
    var count = 0
    while let curl = emcurl_next_done(multi, &code) {
      var context: UnsafeMutableRawPointer?
      emcurl_get_pointer(curl, CURLINFO_PRIVATE, &context)
      guard let transfer = Transfer.from(context), let handle = transfer.handle else { continue }
      finished?(handle, transfer, code)
      count += 1
    }
    if count > 0 { settled?() }
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
        let watch = SocketWatch(fd: fd, owner: self)
        try reactor.register(fd, interest, watch)
        watches[fd] = watch
      }
    } catch {
      // The system is out of memory for the watch; the request ends at its deadline.
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

/// One of libcurl's descriptors, watched by the loop.
private final class SocketWatch: ReadinessHandler {
  private let fd: Int32
  private weak var owner: MultiHandle?

  init(fd: Int32, owner: MultiHandle) {
    self.fd = fd
    self.owner = owner
  }

  func ready(_ readiness: Interest) {
    var events: Int32 = 0
    if readiness.contains(.readable) { events |= CURL_CSELECT_IN }
    if readiness.contains(.writable) { events |= CURL_CSELECT_OUT }
    if readiness.contains(.hangup) { events |= CURL_CSELECT_IN | CURL_CSELECT_ERR }
    owner?.drive(fd, events: events)
  }
}
