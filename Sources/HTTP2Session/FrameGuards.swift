/// The per-connection budgets for frames that cost us work and the peer nothing.
struct FrameGuards {
  var peerResets: TokenBucket
  var lateResets: TokenBucket
  var provokedResets: TokenBucket
  var refusedStreams: TokenBucket
  var pings: TokenBucket
  var settings: TokenBucket
  var emptyData: TokenBucket
  var windowUpdates: TokenBucket
  var priorities: TokenBucket
  var unknownFrames: TokenBucket
  var invalidFrames: TokenBucket
  /// Wire bytes of the field section in progress.
  var blockBytes = 0
  /// When the peer's SETTINGS became due to be waited for; nil once they came.
  var handshakeStarted: UInt64?
  /// When our SETTINGS left; nil once acknowledged.
  var settingsSent: UInt64?
  var opened = OpenedStreamWindow()

  init(_ configuration: HTTP2Configuration, now: UInt64) {
    peerResets = TokenBucket(configuration.peerResets, now: now)
    lateResets = TokenBucket(configuration.lateResets, now: now)
    provokedResets = TokenBucket(configuration.provokedResets, now: now)
    refusedStreams = TokenBucket(configuration.refusedStreams, now: now)
    pings = TokenBucket(configuration.pings, now: now)
    settings = TokenBucket(configuration.settings, now: now)
    emptyData = TokenBucket(configuration.emptyData, now: now)
    windowUpdates = TokenBucket(configuration.windowUpdates, now: now)
    priorities = TokenBucket(configuration.priorities, now: now)
    unknownFrames = TokenBucket(configuration.unknownFrames, now: now)
    invalidFrames = TokenBucket(configuration.invalidFrames, now: now)
    handshakeStarted = now
  }

  /// The limit that only the passing of time has broken.
  func overdue(_ configuration: HTTP2Configuration, now: UInt64) -> HTTP2Limit? {
    if let start = handshakeStarted, now &- start > configuration.handshakeTimeout { return .handshakeTimeout }
    if let start = settingsSent, now &- start > configuration.settingsTimeout { return .settingsTimeout }
    return nil
  }
}

/// Remembers which of the last 1,024 stream ids of the peer were used, to tell an id that was skipped (an error) from one
/// that is closed, and which of those the peer itself has ended: of the others frames may still be under way.
struct OpenedStreamWindow {
  private static let words = 8
  private var opened = InlineArray<8, UInt64>(repeating: 0)
  private var finished = InlineArray<8, UInt64>(repeating: 0)
  private(set) var highest: Int32 = 0

  /// Ids of one side are odd or even: two ids share a bit's place.
  private func position(_ id: Int32) -> (word: Int, mask: UInt64) {
    let slot = Int(id >> 1) % (Self.words * 64)
    return (slot / 64, 1 << UInt64(slot % 64))
  }

  mutating func open(_ id: Int32) {
    guard id > highest else { return }
    // Ids passed over are unused; more than a whole window of them clears it.
    if id - highest >= Int32(Self.words * 64 * 2) {
      opened = InlineArray(repeating: 0)
      finished = InlineArray(repeating: 0)
    } else {
      var skipped = highest + 2
      while skipped < id {
        let place = position(skipped)
        opened[place.word] &= ~place.mask
        finished[place.word] &= ~place.mask
        skipped += 2
      }
    }
    let place = position(id)
    opened[place.word] |= place.mask
    finished[place.word] &= ~place.mask
    highest = id
  }

  /// The stream is closed, and the peer has sent END_STREAM or RST_STREAM on it.
  mutating func finish(_ id: Int32) {
    guard knows(id) else { return }
    let place = position(id)
    finished[place.word] |= place.mask
  }

  private func knows(_ id: Int32) -> Bool { id <= highest && highest - id < Int32(Self.words * 64 * 2) }

  /// Whether the id lies below the highest one and was never opened. Ids too old to tell count as opened.
  func wasSkipped(_ id: Int32) -> Bool {
    guard id < highest, knows(id) else { return false }
    let place = position(id)
    return opened[place.word] & place.mask == 0
  }

  /// Whether the peer may send nothing more on the stream. Ids too old to tell may.
  func isFinished(_ id: Int32) -> Bool {
    guard knows(id) else { return false }
    let place = position(id)
    return finished[place.word] & place.mask != 0
  }
}
