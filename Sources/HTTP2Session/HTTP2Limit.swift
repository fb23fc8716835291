/// A defence that ended a stream or a connection. The raw value is the metric label.
package enum HTTP2Limit: String, Sendable, CaseIterable {
  /// The peer opens streams and resets them (rapid reset, CVE-2023-44487).
  case peerResets = "peer_resets"
  /// The peer makes us reset streams by small protocol faults (MadeYouReset, CVE-2025-8671).
  case provokedResets = "provoked_resets"
  /// The peer goes on opening streams that are refused.
  case refusedStreams = "refused_streams"
  case pings
  case settings
  case emptyData = "empty_data"
  case windowUpdates = "window_updates"
  case priorities
  case unknownFrames = "unknown_frames"
  case invalidFrames = "invalid_frames"
  /// A field section above `maxHeaderListSize`; ends the stream only.
  case headerListSize = "header_list_size"
  /// The bytes on the wire of one field section, CONTINUATION frames included.
  case headerBlockBytes = "header_block_bytes"
  case continuations
  /// Frames queued for a peer that does not read.
  case outboundQueue = "outbound_queue"
  case handshakeTimeout = "handshake_timeout"
  case settingsTimeout = "settings_timeout"
  case headerTimeout = "header_timeout"
  /// A stream's data waits on a window that the peer does not open; ends the stream only.
  case windowStall = "window_stall"
  /// Nothing could be handed to the transport for too long.
  case writeStall = "write_stall"
  /// Handlers that go on after their streams were reset: the owner's count, not the session's.
  case runningHandlers = "running_handlers"
  /// Requests that are not taken hold too much memory: the owner's count.
  case requestBytes = "request_bytes"
  /// Answers that the peer does not take hold too much memory; ends the stream only.
  case responseBytes = "response_bytes"
  /// A message that the peer has begun comes too slowly: the owner's clock.
  case requestRate = "request_rate"
  /// More connections than allowed: the owner's count.
  case connections
  /// HEADERS for a stream id that the peer had skipped (RFC 9113 section 5.1.1).
  case skippedStreamID = "skipped_stream_id"
  /// HEADERS or DATA on a stream that the peer had ended or reset (RFC 9113 section 5.1).
  case closedStream = "closed_stream"
  /// The peer broke the protocol's rules, so that nghttp2 ended the connection.
  case protocolViolation = "protocol_violation"
  /// PRIORITY without a stream (RFC 9113 section 6.3).
  case connectionPriority = "connection_priority"

  /// What the GOAWAY says.
  package var errorCode: HTTP2ErrorCode {
    switch self {
    case .skippedStreamID, .connectionPriority: .protocolError
    case .closedStream: .streamClosed
    case .settingsTimeout: .settingsTimeout
    default: .enhanceYourCalm
    }
  }
}

/// A rate a peer may use a kind of frame at: `burst` at once, `perSecond` sustained.
package struct HTTP2Rate: Sendable, Equatable {
  package var burst: Int
  package var perSecond: Int

  package init(burst: Int, perSecond: Int) {
    self.burst = burst
    self.perSecond = perSecond
  }
}

/// A token bucket in whole nanosecond-tokens; the clock is the caller's.
struct TokenBucket {
  private var level: UInt64
  private var updated: UInt64
  private let capacity: UInt64
  private let perSecond: UInt64
  private static let token: UInt64 = 1_000_000_000

  init(_ rate: HTTP2Rate, now: UInt64) {
    capacity = UInt64(rate.burst) * Self.token
    perSecond = UInt64(rate.perSecond)
    level = capacity
    updated = now
  }

  /// Takes one token; `false` when there is none.
  mutating func take(now: UInt64) -> Bool {
    if level < Self.token { refill(now: now) }
    guard level >= Self.token else { return false }
    level -= Self.token
    return true
  }

  /// Gives tokens back for traffic that earns the peer some frames of this kind.
  mutating func credit(_ tokens: Int = 1) {
    level = min(capacity, level + UInt64(tokens) * Self.token)
  }

  private mutating func refill(now: UInt64) {
    guard now > updated else { return }
    // An hour fills any bucket; the cap keeps the product inside 64 bits.
    let elapsed = min(now - updated, 3600 * Self.token)
    let (added, overflow) = elapsed.multipliedReportingOverflow(by: perSecond)
    level = overflow ? capacity : min(capacity, level + added)
    updated = now
  }
}
