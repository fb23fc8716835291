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

  /// Version, thread id, recipients, mail; lengths in four bytes, big-endian.
  func bytes() -> [UInt8] {
    var output: [UInt8] = [Self.version]
    output.reserveCapacity(mail.count + recipients.reduce(64) { $0 + $1.utf8.count + 4 })
    Self.append(threadID ?? "", to: &output)
    Self.append(UInt32(recipients.count), to: &output)
    for recipient in recipients { Self.append(recipient, to: &output) }
    output.append(contentsOf: mail)
    return output
  }

  init(mail: [UInt8], threadID: String?, recipients: [String]) {
    self.mail = mail
    self.threadID = threadID
    self.recipients = recipients
  }

  init?(bytes: [UInt8]) {
    var position = 1
    guard let version = bytes.first, version == Self.version || version == Self.versionMayHaveBeenSent,
      let thread = Self.text(bytes, &position),
      let count = Self.number(bytes, &position), count <= MessageLimits.recipients
    else { return nil }
    recipients = []
    for _ in 0..<count {
      guard let recipient = Self.text(bytes, &position) else { return nil }
      recipients.append(recipient)
    }
    threadID = thread.isEmpty ? nil : thread
    mail = Array(bytes[position...])
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
  private let seal: ColumnSeal

  init(keys: Keyring) { seal = ColumnSeal(keys) }

  func seal(_ payload: MailPayload, of key: MailKey) throws -> [UInt8] {
    try seal.seal(SecretBytes(payload.bytes()), for: Self.place(key))
  }

  func open(_ bytes: [UInt8], of key: MailKey) throws(SealError) -> MailPayload {
    guard let payload = MailPayload(bytes: try seal.open(bytes, for: Self.place(key)).revealed) else {
      throw .malformed
    }
    return payload
  }

  private static func place(_ key: MailKey) -> [String] {
    ["emailmcp mail payload", key.tenantID, key.userID, key.id.description]
  }
}
