public import EventLoop
public import TLSSession

/// How a channel secures its connections.
public enum ChannelSecurity: Sendable {
  /// HTTP/2 by prior knowledge, nothing encrypted: for one machine, or inside another tunnel.
  case plaintext
  /// TLS with ALPN `h2`. The context holds our own certificate for mutual TLS; `peer` is whom the server must prove to
  /// be, `.uri("spiffe://emailmcp/oauth")` for example.
  case tls(TLSClientContext, peer: ExpectedPeer)
}

/// The limits and habits of a channel.
public struct ChannelConfiguration: Sendable {
  /// The largest response, in bytes, of a call that does not say otherwise. gRPC's own default.
  public var maxResponseBytes = 4 * 1024 * 1024
  /// Response metadata and request metadata: names, values and 32 bytes an entry, in bytes.
  public var maxMetadataBytes = Metadata.defaultLimit
  /// For calls that do not say: whether to wait while the server is away, instead of failing with UNAVAILABLE.
  public var waitForReady = false
  /// For calls that give no time of their own and inherit none. Nil: no limit.
  public var defaultTimeout: Duration?
  /// How the requests of calls that do not say are compressed.
  public var requestEncoding = MessageEncoding.identity
  /// For connect and TLS handshake and the server's SETTINGS together. gRPC's own default.
  public var connectTimeout = Duration.seconds(20)
  /// Between failed attempts to connect.
  public var backoff = Backoff()
  /// How often a name is looked up.
  public var resolution = ResolutionConfiguration()
  /// Balancing and what single methods want.
  public var service = ServiceConfiguration()
  /// Pings to a silent server. Nil: none; gRPC's own default.
  public var keepalive: KeepaliveConfiguration?
  /// Without calls for so long the connections are closed until the next call. gRPC's own default. Nil: never.
  public var idleTimeout: Duration? = .seconds(30 * 60)
  /// What a server may send on one stream before it is read, in bytes.
  public var streamWindowBytes = 256 * 1024
  /// What a server may send on all streams before they are read, in bytes: of 4096 calls whose answers nobody reads none
  /// holds up another. How much is held is bounded by the calls that are made, a stream's window each.
  public var connectionWindowBytes = 1 << 30
  /// A `write` waits above so many unsent bytes on its stream, and goes on below half of it.
  public var writeHighWaterMark = 64 * 1024
  /// Sent messages of a call that are kept for another attempt until the server has answered, in bytes. A first message is
  /// kept whatever its size: a unary call can always be repeated.
  public var replayBytes = 256 * 1024
  /// Calls that may wait for a connection or a free stream; more fail with RESOURCE_EXHAUSTED.
  public var maxWaitingCalls = 10_000
  /// Gives each attempt of a call a span, which the server is told as its parent. Nil: nothing is traced, and the
  /// `traceparent` of the call or its surroundings goes on as it is.
  public var tracer: Tracer?
  /// Sent as `:authority`; the target's own when nil.
  public var authority: String?
  public var userAgent = "emailmcp-rpc/1"

  public init() {}
}

/// What one call wants beside its message.
public struct CallOptions: Sendable {
  /// How long the call may take at most. What the surrounding call has left applies in any case.
  public var timeout: Duration?
  public var metadata: Metadata
  /// Whether to wait while the server is away; the channel's habit when nil.
  public var waitForReady: Bool?
  /// The largest response message, in bytes; the channel's limit when nil.
  public var maxResponseBytes: Int?
  /// How request messages are compressed; the channel's habit when nil. A server that does not know it answers
  /// UNIMPLEMENTED.
  public var requestEncoding: MessageEncoding?

  public init(
    timeout: Duration? = nil, metadata: Metadata = Metadata(), waitForReady: Bool? = nil, maxResponseBytes: Int? = nil,
    requestEncoding: MessageEncoding? = nil
  ) {
    self.timeout = timeout
    self.metadata = metadata
    self.waitForReady = waitForReady
    self.maxResponseBytes = maxResponseBytes
    self.requestEncoding = requestEncoding
  }
}
