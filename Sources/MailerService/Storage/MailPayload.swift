import CivilTime
import MailSyntax
import SecretVault
import TLSSession

/// What the queue keeps of a mail until its outcome: all that is needed to send it, sealed.
struct MailPayload: Sendable, Equatable {
  /// As built (RFC 5322).
  var mail: [UInt8]
  var threadID: String?
  /// The addresses that reports count.
  var recipients: [String]

  // MARK: Bytes

  private static let version: UInt8 = 1
  /// The same, as an earlier release wrote it of a mail that may have been sent.
  private static let versionMayHaveBeenSent: UInt8 = 2

  /// What stands before the mail: version, thread id, recipients; lengths in four bytes, big-endian.
  var head: [UInt8] {
    var output: [UInt8] = [Self.version]
    Self.append(threadID ?? "", to: &output)
    Self.append(UInt32(recipients.count), to: &output)
    for recipient in recipients { Self.append(recipient, to: &output) }
    return output
  }

  init(mail: [UInt8], threadID: String?, recipients: [String]) {
    self.mail = mail
    self.threadID = threadID
    self.recipients = recipients
  }

  /// - Parameter range: where in `bytes` the payload stands. The mail takes the bytes' own place.
  init?(_ bytes: consuming [UInt8], in range: Range<Int>) {
    var position = range.lowerBound + 1
    bytes.removeSubrange(range.upperBound...)
    guard let version = bytes[range.lowerBound...].first,
      version == Self.version || version == Self.versionMayHaveBeenSent,
      let thread = Self.text(bytes, &position),
      let count = Self.number(bytes, &position), count <= MessageLimits.recipients
    else { return nil }
    recipients = []
    for _ in 0..<count {
      guard let recipient = Self.text(bytes, &position) else { return nil }
      recipients.append(recipient)
    }
    threadID = thread.isEmpty ? nil : thread
    bytes.removeFirst(position)
    mail = bytes
  }

  private static func append(_ number: UInt32, to output: inout [UInt8]) {
    for shift in stride(from: 24, through: 0, by: -8) {
      output.append(UInt8(truncatingIfNeeded: number >> UInt32(shift)))
    }
  }

  private static func append(_ text: String, to output: inout [UInt8]) {
    append(UInt32(text.utf8.count), to: &output)
    output.append(contentsOf: text.utf8)
  }

  private static func number(_ bytes: [UInt8], _ position: inout Int) -> Int? {
    guard bytes.count - position >= 4 else { return nil }
    defer { position += 4 }
    return bytes[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
  }

  private static func text(_ bytes: [UInt8], _ position: inout Int) -> String? {
    guard let count = number(bytes, &position), bytes.count - position >= count else { return nil }
    defer { position += count }
    return String(decoding: bytes[position..<position + count], as: UTF8.self)
  }
}

/// Seals payloads, each for its mail alone.
struct PayloadSeal: Sendable {
  /// Payloads up to this size are sealed whole and travel with the mail's other columns; larger ones go in pieces of this
  /// size, sealed as they leave and joined where they arrive: of a large mail there is never a second copy in memory.
  static let pieceSize = 256 << 10

  private let seal: ColumnSeal

  init(keys: Keyring) { seal = ColumnSeal(keys) }

  func seal(_ payload: MailPayload, of key: MailKey) throws -> StoredPayload {
    if payload.mail.count > Self.pieceSize { return .large(LargePayload(payload: payload, key: key, seal: seal)) }
    var bytes: [UInt8] = []
    let sealing = try seal.sealing(for: Self.place(key), appendingTo: &bytes)
    try sealing.seal(payload.head, appendingTo: &bytes)
    try sealing.seal(payload.mail, appendingTo: &bytes)
    try sealing.finish(appendingTo: &bytes)
    return .whole(bytes)
  }

  /// - Parameter bytes: the mail takes their place.
  func open(_ bytes: consuming [UInt8], of key: MailKey) throws(SealError) -> MailPayload {
    let range = try seal.openInPlace(&bytes, for: Self.place(key))
    guard let payload = MailPayload(bytes, in: range) else { throw .malformed }
    return payload
  }

  fileprivate static func place(_ key: MailKey) -> [String] {
    ["emailmcp mail payload", key.tenantID, key.userID, key.id.description]
  }
}

/// A payload on its way to the database.
enum StoredPayload: Sendable {
  /// Sealed.
  case whole([UInt8])
  case large(LargePayload)

  var whole: [UInt8]? { if case .whole(let bytes) = self { bytes } else { nil } }
}

/// Is sealed piece by piece as it leaves.
struct LargePayload: Sendable {
  fileprivate let payload: MailPayload
  fileprivate let key: MailKey
  fileprivate let seal: ColumnSeal

  /// The sealed bytes, one piece after the other.
  func forEachPiece(_ body: ([UInt8]) async throws -> Void) async throws {
    var sealed: [UInt8] = []
    let sealing = try seal.sealing(for: PayloadSeal.place(key), appendingTo: &sealed)
    for part in [payload.head, payload.mail] {
      for start in stride(from: 0, to: part.count, by: PayloadSeal.pieceSize) {
        try sealing.seal(part[start..<min(start + PayloadSeal.pieceSize, part.count)], appendingTo: &sealed)
        try await body(sealed)
        sealed.removeAll(keepingCapacity: true)
      }
    }
    try sealing.finish(appendingTo: &sealed)
    try await body(sealed)
  }
}
