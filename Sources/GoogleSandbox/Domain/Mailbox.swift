import CivilTime

/// One mail that the stand-in took.
struct StoredMessage: Sendable {
  let id: String
  let threadID: String
  /// The account that sent it.
  let account: String
  let from: String
  let to: [String]
  let cc: [String]
  let bcc: [String]
  let subject: String
  /// The Message-ID header as it came.
  let messageID: String?
  let received: Timestamp
  /// What recipients get: without Bcc, From replaced where it was not the account's own.
  let raw: [UInt8]

  var recipients: [String] { to + cc + bcc }
}

/// One accepted send, kept for the whole run: the judge of what was sent, and how often.
struct LedgerEntry: Sendable {
  let id: String
  let threadID: String
  let account: String
  let messageID: String?
  let recipientCount: Int
  let accepted: Timestamp
}

/// Everything that was sent: the latest mails whole, all of them as ledger entries.
struct Mailbox {
  /// Mails kept whole.
  static let maxMessages = 5_000
  static let maxMessageBytes = 256 << 20
  /// Ledger entries; past it the oldest go, and the count goes on.
  static let maxLedgerEntries = 1_000_000

  private let maxMessageBytes: Int
  private let maxLedgerEntries: Int
  private(set) var ledger: [LedgerEntry] = []
  private(set) var ledgerStart = 0
  private var messages: [String: StoredMessage] = [:]
  private var order: [String] = []
  private var firstKept = 0
  private var keptBytes = 0
  /// How many kept mails each thread of an account has.
  private var threads: [String: [String: Int]] = [:]
  private var lastID: UInt64

  /// - Parameter seed: where ids begin, so that they differ from run to run.
  init(
    seed: UInt64, maxMessageBytes: Int = Self.maxMessageBytes, maxLedgerEntries: Int = Self.maxLedgerEntries
  ) {
    lastID = (0x19 << 56) | (seed >> 8 & 0x00ff_ffff_ff00_0000)
    self.maxMessageBytes = maxMessageBytes
    self.maxLedgerEntries = maxLedgerEntries
  }

  var acceptedCount: Int { ledgerStart + ledger.count }

  mutating func nextID() -> String {
    lastID += 1
    return String(lastID, radix: 16)
  }

  func hasThread(_ id: String, of account: String) -> Bool { threads[account]?[id] != nil }

  mutating func accept(_ message: StoredMessage) {
    ledger.append(
      LedgerEntry(
        id: message.id, threadID: message.threadID, account: message.account, messageID: message.messageID,
        recipientCount: message.recipients.count, accepted: message.received))
    if ledger.count > maxLedgerEntries {
      let excess = maxLedgerEntries / 10
      ledger.removeFirst(excess)
      ledgerStart += excess
    }
    threads[message.account, default: [:]][message.threadID, default: 0] += 1
    messages[message.id] = message
    order.append(message.id)
    keptBytes += message.raw.count
    while messages.count > Self.maxMessages || (keptBytes > maxMessageBytes && messages.count > 1) {
      if let old = messages.removeValue(forKey: order[firstKept]) { forget(old) }
      firstKept += 1
    }
    if firstKept > Self.maxMessages {
      order.removeFirst(firstKept)
      firstKept = 0
    }
    if let number = UInt64(message.id, radix: 16), number > lastID { lastID = number }
  }

  private mutating func forget(_ message: StoredMessage) {
    keptBytes -= message.raw.count
    let left = (threads[message.account]?[message.threadID] ?? 1) - 1
    threads[message.account]?[message.threadID] = left > 0 ? left : nil
    if threads[message.account]?.isEmpty == true { threads[message.account] = nil }
  }

  func message(_ id: String) -> StoredMessage? { messages[id] }

  /// The latest mails, newest first.
  func latest(_ count: Int, account: String? = nil) -> [StoredMessage] {
    var result: [StoredMessage] = []
    for id in order[firstKept...].reversed() where result.count < count {
      if let message = messages[id],
        account == nil || message.account == account || message.recipients.contains(account!)
      {
        result.append(message)
      }
    }
    return result
  }

  mutating func clear() {
    let last = lastID
    self = Mailbox(seed: 0)
    lastID = last
  }
}
