/// The limits and habits of a server. The defaults suit services inside one data centre.
public struct ServerConfiguration: Sendable {
  /// The largest request, in bytes, of a method that does not say otherwise. gRPC's own default.
  public var maxRequestBytes = 4 * 1024 * 1024
  /// Request metadata: names, values and 32 bytes an entry, in bytes. Above it the call ends with RESOURCE_EXHAUSTED.
  public var maxMetadataBytes = Metadata.defaultLimit
  /// Calls at one time on a connection.
  public var maxConcurrentStreams = 128
  /// What a client may send on one stream before the handler reads, in bytes.
  public var streamWindowBytes = 256 * 1024
  /// What a client may send on all streams before handlers read, in bytes. Nil: as much as all its streams may together,
  /// so that calls whose handlers do not read never hold up the others; `requests` bounds the memory.
  public var connectionWindowBytes: Int?
  /// A handler's `write` waits above so many unsent bytes on its stream, and goes on below half of it.
  public var writeHighWaterMark = 64 * 1024
  /// Bytes of answers that wait on a connection. Above it those streams are reset, the newest of the larger first, that
  /// the client opens no window for, or has hardly taken anything of for five seconds.
  public var maxUnsentBytesPerConnection = 32 * 1024 * 1024
  /// The same of all connections of a loop, looked at once a second: the connections that hold most give way.
  public var maxUnsentBytes = 48 * 1024 * 1024
  /// What requests may hold before they are taken, and how fast they must come.
  public var requests = RequestPolicy()
  /// How many calls the server works on at one time.
  public var concurrency = ConcurrencyPolicy()
  /// How long connections live, and what they may ask.
  public var connections = ConnectionPolicy()
  /// How answers are compressed, to clients that accept it and unless the handler decides otherwise.
  public var responseEncoding = MessageEncoding.identity
  /// Request metadata that the calls made by a handler carry on.
  public var propagatedMetadata: [Metadata.Name] = ["traceparent", "tracestate", "x-request-id"]
  /// Gives each call a span. Nil: nothing is traced, and `traceparent` goes on as it came.
  public var tracer: Tracer?
  /// What an error is turned into before it is sent, the runtime's own too: for details that every error of a service has.
  public var completesError: (@Sendable (RPCError) -> RPCError)?
  /// How long a client may take for the TLS handshake, for its first SETTINGS, to acknowledge ours, and for one section of
  /// header fields.
  public var handshakeTimeout = Duration.seconds(10)
  /// How long data may wait for a client that takes none of it; then the call, or the connection, ends.
  public var stallTimeout = Duration.seconds(60)
  /// How long a drain waits for the handlers that it had to cancel.
  public var cancellationGrace = Duration.seconds(1)

  public init() {}
}

/// What one method has beside its handler.
public struct MethodOptions: Sendable {
  /// The largest request, in bytes; the server's limit when nil.
  public var maxRequestBytes: Int?
  /// The SPIFFE IDs that may call: others get PERMISSION_DENIED, callers without a certificate UNAUTHENTICATED. Nil lets
  /// every caller in. Not enforced on listeners without TLS, where there are no identities.
  public var allowedPeers: Set<String>?
  /// Whether a drain ends the call with UNAVAILABLE at once, instead of waiting for it: for streams that only end when
  /// the client wants.
  public var endsOnDrain: Bool
  /// Unary methods: whether a call takes longer when the server has too much to do, and only then. False for methods
  /// that wait for something else: they do not stand under the adaptive limit.
  public var latencyShowsLoad: Bool
  /// Answered however much there is to do: what tells whether the server is well.
  package var bypassesLimits = false

  public init(
    maxRequestBytes: Int? = nil, allowedPeers: Set<String>? = nil, endsOnDrain: Bool = false,
    latencyShowsLoad: Bool = true
  ) {
    self.maxRequestBytes = maxRequestBytes
    self.allowedPeers = allowedPeers
    self.endsOnDrain = endsOnDrain
    self.latencyShowsLoad = latencyShowsLoad
  }
}
