import EventLoop
import HTTP2Session
import Transport

/// A channel's connection to a server.
final class ClientConnection: RPCConnection {
  /// Gone when nobody holds the channel any more.
  private weak var channel: RPCChannel?
  private(set) var isReady = false
  /// GOAWAY came, or the end: calls in flight go on, others need another connection.
  private(set) var isRetired = false

  /// The balancer's link that it belongs to.
  let link: Int

  init(_ transport: Connection, channel: RPCChannel, link: Int) {
    self.channel = channel
    self.link = link
    var configuration = HTTP2Configuration()
    configuration.initialStreamWindow = Int32(clamping: channel.configuration.streamWindowBytes)
    configuration.connectionWindow = Int32(clamping: channel.configuration.connectionWindowBytes)
    configuration.maxHeaderListSize = channel.configuration.maxMetadataBytes + 4096
    super.init(transport: transport, role: .client, configuration: configuration)
  }

  var canOpenCall: Bool { isReady && !isRetired && session.canOpenStream }

  /// No stream can be opened though the server would allow one: the stream ids are used up (2³⁰ calls).
  var isExhausted: Bool {
    isReady && !isRetired && !session.canOpenStream
      && session.openStreamCount < session.remoteMaxConcurrentStreams
  }

  /// Takes no more calls, and closes after the last.
  func retire() {
    isRetired = true
    session.beginShutdown()
    setNeedsFlush()
  }

  /// Sends what is queued, GOAWAY last, and closes.
  func closeInOrder() {
    isRetired = true
    session.terminate(.noError)
    setNeedsFlush()
  }

  override func receivedSettings() {
    guard !isReady else { channel?.serveWaiting(); return }
    isReady = true
    channel?.connected(self)
  }

  override func receivedGoAway(_ code: HTTP2ErrorCode) {
    guard !isRetired else { return }
    retire()
    channel?.retired(self)
  }

  override func released(_ call: CallStream) { channel?.serveWaiting() }

  override func ended(_ error: (any Error)?) {
    isRetired = true
    channel?.ended(self, error)
  }
}
