/// What a session announces and what it tolerates. Every number has its unit, its default and its reason here.
package struct HTTP2Configuration: Sendable {
  /// Streams a peer may have open; always announced, since silence means "unlimited".
  package var maxConcurrentStreams: UInt32 = 128
  /// Bytes a peer may send on a stream before we consume some: one large message in flight.
  package var initialStreamWindow: Int32 = 256 * 1024
  /// Bytes a peer may send on all streams together before we consume some.
  package var connectionWindow: Int32 = 1024 * 1024
  /// Name + value + 32 summed over a field section (RFC 9113 section 6.5.2); as HTTP/1.1's 16 KiB of header block.
  package var maxHeaderListSize: Int = 16 * 1024
  /// Fields in one section; as HTTP/1.1's.
  package var maxHeaderFields: Int = 100
  /// Bytes on the wire of one field section: compression cannot make an honest section larger than its list.
  package var maxHeaderBlockBytes: Int = 32 * 1024
  /// CONTINUATION frames after one HEADERS: honest peers need none, a few send tiny ones (nghttp2 issue 2817).
  package var maxContinuations: Int = 32
  /// Field sections on one stream: final, trailers and some interim responses.
  package var maxHeaderBlocks: Int = 8
  /// Bytes of a GOAWAY's debug data that are kept: reasons are short.
  package var goAwayWords: Int = 256
  /// Server: a complete answer to an incomplete request resets the rest at once (gRPC wants it). Otherwise the owner does
  /// so later: curl 7.88 loses an answer that arrives together with its RST_STREAM.
  package var resetsUnreadRequests = true
  /// Frames queued and not taken by the transport; beyond it the peer does not read what it asks for.
  package var maxOutboundQueue: Int = 10_000

  /// Server: RST_STREAM received on streams without a complete answer. Deadlines and closed tabs reset honestly, though
  /// not a thousand times at once.
  package var peerResets = HTTP2Rate(burst: 500, perSecond: 100)
  /// Server: those received on the others, which cost the peer as much as us: grpc-go resets each call that the server ended
  /// before the client did, and deadlines cross. Each complete answer earns one more.
  package var lateResets = HTTP2Rate(burst: 1000, perSecond: 100)
  /// RST_STREAM that we were made to send by the peer's faults; an honest peer makes none.
  package var provokedResets = HTTP2Rate(burst: 100, perSecond: 10)
  /// REFUSED_STREAM that we sent: requests above the limit on streams, or after the last GOAWAY. Clients open a hundred
  /// streams before our SETTINGS come, those without a limit of their own some hundreds, and that once.
  package var refusedStreams = HTTP2Rate(burst: 1000, perSecond: 100)
  /// PING received; each HEADERS or DATA frame that we send earns one more, for peers that estimate bandwidth by PING.
  package var pings = HTTP2Rate(burst: 200, perSecond: 10)
  /// SETTINGS received.
  package var settings = HTTP2Rate(burst: 20, perSecond: 1)
  /// DATA without bytes and without END_STREAM: nothing in it for an honest peer.
  package var emptyData = HTTP2Rate(burst: 100, perSecond: 10)
  /// WINDOW_UPDATE received; each DATA frame that we send earns two more.
  package var windowUpdates = HTTP2Rate(burst: 1000, perSecond: 100)
  /// PRIORITY and PRIORITY_UPDATE; browsers send a few a request.
  package var priorities = HTTP2Rate(burst: 400, perSecond: 100)
  /// Extension frames that we do not know: to be ignored (RFC 9113 section 5.5), not to be a burden.
  package var unknownFrames = HTTP2Rate(burst: 100, perSecond: 10)
  /// Frames refused as invalid without ending the connection.
  package var invalidFrames = HTTP2Rate(burst: 100, perSecond: 10)

  /// Nanoseconds until the peer's preface and SETTINGS must have come.
  package var handshakeTimeout: UInt64 = 10_000_000_000
  /// Nanoseconds until our SETTINGS must be acknowledged.
  package var settingsTimeout: UInt64 = 10_000_000_000
  /// Nanoseconds a field section may take from its first to its last byte.
  package var headerTimeout: UInt64 = 10_000_000_000
  /// Nanoseconds that output may wait for the transport without any of it leaving.
  package var stallTimeout: UInt64 = 60_000_000_000
  /// Nanoseconds that a stream's data may wait for a window that the peer does not open: a server's, whose answers nobody
  /// reads. Nil: for ever. A client waits for a slow server as long as the call's deadline lets it.
  package var windowStallTimeout: UInt64? = 60_000_000_000
  /// Body bytes that may wait on all streams: a server's answers. Above it streams are given up, see `resetStalled`. Nil:
  /// any number; a client's own requests are its owner's matter.
  package var maxPendingBytes: Int? = 32 * 1024 * 1024
  /// Nanoseconds that a peer which broke a limit has to take its GOAWAY.
  package var farewellTimeout: UInt64 = 2_000_000_000

  package init() {}
}
