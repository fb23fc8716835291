import EventLoop
import HTTP2Session
import Transport

/// A channel's connection to a server.
final class ClientConnection: RPCConnection {
  /// Gone when nobody holds the channel any more.
  private weak var channel: RPCChannel?
  /// The balancer's link that it belongs to.
  let link: Int
  private(set) var isReady = false
  /// GOAWAY came, or the end: calls in flight go on, others need another connection.
  private(set) var isRetired = false
  /// Why we closed it; nil when the other side did.
  private(set) var closeReason: String?
  /// What the server found wrong, by its GOAWAY.
  private var complaint: HTTP2ErrorCode?
  /// Until the server's SETTINGS are here.
  private var settingsTimer: Timer?
  private var keepalive: Keepalive?
  private var keepaliveTimer: Timer?
  /// Nobody pings until a call begins.
  private var isKeepaliveAsleep = false
  private var healthWatch: HealthWatch?
  /// The limits that the log has named this server for.
  private var logged: Set<HTTP2Limit> = []

  /// - Parameter dueAt: when the server's SETTINGS must be here.
  init(_ transport: Connection, channel: RPCChannel, link: Int, dueAt: Instant) {
    self.channel = channel
    self.link = link
    var configuration = HTTP2Configuration()
    configuration.initialStreamWindow = Int32(clamping: channel.configuration.streamWindowBytes)
    configuration.connectionWindow = Int32(clamping: channel.configuration.connectionWindowBytes)
    configuration.windowStallTimeout = nil
    configuration.maxPendingBytes = nil
    // `settingsTimer` is exact.
    configuration.handshakeTimeout = .max
    configuration.maxHeaderListSize = channel.configuration.maxMetadataBytes + 4096
    // Each field counts for 32 bytes and more: their size alone is the limit. RFC 9113, section 6.5.2.
    configuration.maxHeaderFields = configuration.maxHeaderListSize / 32
    super.init(
      transport: transport, role: .client, configuration: configuration, frames: channel.frames,
      memory: channel.sessionMemory)
    if let configuration = channel.keepalive { transport.limitSilence(to: configuration.timeout) }
    settingsTimer = reactor.schedule(at: dueAt) { [weak self] in
      self?.close(because: "the server's SETTINGS did not come in time")
    }
  }

  var canOpenCall: Bool { isReady && !isRetired && session.canOpenStream }

  /// Calls in flight; the health watch is none.
  var callCount: Int { session.openStreamCount - (healthWatch?.isOpen == true ? 1 : 0) }

  /// No stream can be opened though the server would allow one: the stream ids are used up (2³⁰ calls).
  var isExhausted: Bool {
    isReady && !isRetired && !isClosed && !session.isEnding && !session.canOpenStream
      && session.openStreamCount < session.remoteMaxConcurrentStreams
  }

  /// A call has its stream.
  func callOpened() {
    if isKeepaliveAsleep { runKeepalive() }
  }

  /// Takes no more calls, and closes after the last.
  func retire() {
    isRetired = true
    healthWatch?.stop()
    session.beginShutdown(now: reactor.nanoseconds)
    setNeedsFlush()
  }

  /// Sends what is queued, GOAWAY last, and closes.
  func closeInOrder() {
    isRetired = true
    healthWatch?.stop()
    session.terminate(.noError)
    setNeedsFlush()
  }

  /// Why it ended; nil when the server closed it without a word.
  var endReason: String? {
    if let closeReason { return closeReason }
    if let limit = session.terminatedBy { return "the server did what it may not (\(limit.rawValue))" }
    if let complaint { return "the server sent GOAWAY with \(complaint)" }
    return failure.map { "\($0)" }
  }

  private func close(because reason: String) {
    closeReason = reason
    transport.close()
  }

  override func receivedSettings() {
    guard !isReady else { channel?.serveWaiting(); return }
    isReady = true
    settingsTimer?.cancel()
    if let configuration = channel?.keepalive {
      keepalive = Keepalive(configuration)
      runKeepalive()
    }
    channel?.connected(self)
  }

  override func lacksHTTP2() { close(because: "the server speaks TLS, but not HTTP/2") }

  override func receivedGoAway(_ code: HTTP2ErrorCode, _ words: [UInt8]) {
    if code != .noError { complaint = code }
    // The code alone may be about anything else that was too much.
    if code == .enhanceYourCalm, words == Array("too_many_pings".utf8) { channel?.calmKeepalive() }
    guard !isRetired else { return }
    retire()
    channel?.retired(self, DisconnectReason(goAway: code))
  }

  override func limitExceeded(_ limit: HTTP2Limit) {
    channel?.limitExceeded(limit, by: transport, isNews: logged.insert(limit).inserted)
  }

  override func released(_ call: CallStream) { channel?.serveWaiting() }

  /// No answer can come any more: what a flush would send were lost without a word.
  override func peerEnded() { transport.close() }

  override func ended() {
    isRetired = true
    settingsTimer?.cancel()
    keepaliveTimer?.cancel()
    healthWatch?.stop()
    healthWatch = nil
    channel?.ended(self)
  }

  /// Watches the health of a service on this connection; the channel hears of it.
  func watchHealth(of service: String) {
    guard let channel else { return }
    healthWatch = HealthWatch(service, on: self, of: channel)
    healthWatch?.start()
  }

  override func keepaliveReport(now: Instant) -> ConnectionReport.Keepalive {
    guard let keepalive else { return .off }
    if let pingedAt = keepalive.pingedAt, pingedAt >= lastReceivedAt { return .asking(now - pingedAt) }
    return isKeepaliveAsleep ? .asleep : .waiting
  }

  private func runKeepalive() {
    isKeepaliveAsleep = false
    keepaliveTimer?.cancel()
    while !isClosed {
      let now = Instant.current()
      switch keepalive?.next(now: now, lastRead: lastReceivedAt, hasCalls: callCount > 0) {
      case .ping:
        session.ping(Self.keepalivePing)
        setNeedsFlush()
      case .wait(let time):
        keepaliveTimer = reactor.schedule(at: time) { [weak self] in self?.runKeepalive() }
        return
      case .sleep:
        isKeepaliveAsleep = true
        return
      case .close:
        return close(because: "the server did not answer a keepalive ping in time")
      case nil: return
      }
    }
  }

  private static let keepalivePing: UInt64 = 0x656d_6370_6c69_7665
}
