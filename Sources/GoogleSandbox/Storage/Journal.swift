import CivilTime
import EventLoop
import Glibc
import Logging
import StrictJSON
import TLSSession

/// Keeps the stand-in's state between runs: a file of JSON lines, one an event, appended as they happen and read at the start.
///
/// A development tool's durability: lines are handed to the system, not forced to the disk. A line cut short by a crash is dropped.
/// What a full disk does not take is forgotten at the next start; that it was is said once.
final class Journal {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  private let folder: String
  private let logger = Logger(label: "google-sandbox")
  private var descriptor: Int32 = -1
  private var hasComplained = false

  /// Of whole lines.
  private var size = 0
  private var compactAt = Journal.compactionBytes

  /// Mails above this are kept in memory only.
  private static let maxMessageBytes = 1 << 20
  /// What the latest mails may take of a compacted file.
  private static let maxKeptMailBytes = 16 << 20
  /// The file is written anew when it has grown to this, or to twice its size after the last time.
  private static let compactionBytes = 64 << 20
  /// Far above what compaction leaves.
  private static let maxFileBytes = 1 << 30

  init(folder: String) throws {
    self.folder = folder
    if mkdir(folder, 0o700) != 0 && errno != EEXIST {
      throw Failure(description: "cannot make \(folder): errno \(errno)")
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private var path: String { "\(folder)/journal.ndjson" }
  private var keyPath: String { "\(folder)/signing-key.pem" }

  /// The key of the earlier run, or a new one.
  func signingKey() throws -> SigningKey {
    if let pem = try Self.read(keyPath) { return try SigningKey(key: PrivateKey(pem: pem)) }
    let key = try PrivateKey.generateRSA()
    try Self.write(try key.pem().revealed, to: keyPath)
    return try SigningKey(key: key)
  }

  // MARK: Events

  func granted(_ token: String, _ value: GrantStore.RefreshToken) { append(Self.line(token, value)) }

  func revoked(_ account: Account) {
    var json = JSONWriter()
    json.object { $0.member("revoked", account.address) }
    json.newline()
    append(json.finish())
  }

  func accepted(_ message: StoredMessage) {
    guard message.raw.count <= Self.maxMessageBytes else { return }
    append(Self.line(message))
  }

  // MARK: Reading and compacting

  /// Whether the file holds much that is of no use any more.
  var wantsCompaction: Bool { size >= compactAt }

  func replay(into sandbox: Sandbox) throws {
    if let bytes = try Self.read(path) {
      for line in bytes.split(separator: 0x0a) {
        let limits = JSONLimits(maximumBytes: 4 << 20)
        guard let event = try? JSONValue(parsing: Array(line), limits: limits) else { continue }
        apply(event, to: sandbox)
      }
    }
    rewrite(from: sandbox)
  }

  private func apply(_ event: JSONValue, to sandbox: Sandbox) {
    if let token = event["refresh_token"]?.stringValue, let account = Self.account(event["account"]),
      let scopes = event["scope"]?.stringValue
    {
      let value = GrantStore.RefreshToken(
        account: account, scopes: scopes.split(separator: " ").compactMap { OAuthScope($0) })
      sandbox.grants.keepRefreshToken(token, value)
    } else if let account = Self.account(event["revoked"]) {
      sandbox.grants.revokeAll(of: account)
    } else if let message = Self.message(event) {
      sandbox.mailbox.accept(message)
    }
  }

  /// Writes the present state as a new file: at the start, and when something was forgotten.
  func rewrite(from sandbox: Sandbox) {
    var bytes: [UInt8] = []
    for (token, value) in sandbox.grants.refreshTokensInOrder { bytes += Self.line(token, value) }
    var mailBytes = 0
    let mails = sandbox.mailbox.latest(Mailbox.maxMessages).filter { $0.raw.count <= Self.maxMessageBytes }
    let kept = mails.prefix { message in
      mailBytes += message.raw.count
      return mailBytes <= Self.maxKeptMailBytes
    }
    for message in kept.reversed() { bytes += Self.line(message) }
    size = bytes.count
    compactAt = max(Self.compactionBytes, 2 * size)
    do {
      try Self.write(bytes, to: path)
      if descriptor >= 0 { close(descriptor) }
      descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    } catch {
      // The run goes on in memory.
      complain("\(error)")
      if descriptor >= 0 { close(descriptor) }
      descriptor = -1
    }
  }

  private func append(_ line: [UInt8]) {
    guard descriptor >= 0 else { return }
    var sent = 0
    while sent < line.count {
      let count = line[sent...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else {
        complain("\(SystemError("write \(path)"))")
        // A line's beginning would take the next line with it.
        ftruncate(descriptor, off_t(size))
        return
      }
      sent += count
    }
    size += line.count
  }

  private func complain(_ error: String) {
    if !hasComplained {
      logger.error("what happens here is not kept for the next start", metadata: ["error": "\(error)"])
    }
    hasComplained = true
  }

  // MARK: Lines

  private static func line(_ token: String, _ value: GrantStore.RefreshToken) -> [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("refresh_token", token)
      json.member("account", value.account.address)
      json.member("scope", value.scopes.spaceSeparated)
    }
    json.newline()
    return json.finish()
  }

  private static func line(_ message: StoredMessage) -> [UInt8] {
    var json = JSONWriter(capacity: message.raw.count * 3 / 2 + 512)
    json.object { json in
      json.member("message", message.id)
      json.member("thread", message.threadID)
      json.member("account", message.account)
      json.member("from", message.from)
      for (name, addresses) in [("to", message.to), ("cc", message.cc), ("bcc", message.bcc)] {
        json.member(name) { json in json.array(of: addresses) { $0.value($1) } }
      }
      json.member("subject", message.subject)
      json.member("message_id", message.messageID)
      json.member("received", message.received.microseconds)
      json.member("raw", Base64.encode(message.raw, .urlSafe))
    }
    json.newline()
    return json.finish()
  }

  private static func message(_ event: JSONValue) -> StoredMessage? {
    func addresses(_ name: String) -> [String] { event[name]?.arrayValue?.compactMap(\.stringValue) ?? [] }
    guard let id = event["message"]?.stringValue, let thread = event["thread"]?.stringValue,
      let account = event["account"]?.stringValue, let from = event["from"]?.stringValue,
      let subject = event["subject"]?.stringValue, let received = event["received"]?.int64Value,
      let raw = event["raw"]?.stringValue.flatMap({ Base64.decode($0, .urlSafe) })
    else { return nil }
    return StoredMessage(
      id: id, threadID: thread, account: account, from: from, to: addresses("to"), cc: addresses("cc"),
      bcc: addresses("bcc"), subject: subject, messageID: event["message_id"]?.stringValue,
      received: Timestamp(microseconds: received), raw: raw)
  }

  private static func account(_ value: JSONValue?) -> Account? { value?.stringValue.flatMap { Account(address: $0) } }

  // MARK: Files

  /// Nil when there is no such file.
  private static func read(_ path: String) throws -> [UInt8]? {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else {
      if errno == ENOENT { return nil }
      throw Failure(description: "cannot read \(path): errno \(errno)")
    }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = Glibc.read(fd, &chunk, chunk.count)
      guard count > 0 else { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= maxFileBytes else { throw Failure(description: "\(path) is over \(maxFileBytes) bytes") }
    }
  }

  /// Under a name beside it first, so that the file is whole at any time.
  private static func write(_ bytes: [UInt8], to path: String) throws {
    let draft = "\(path).new"
    let fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw Failure(description: "cannot write \(draft): errno \(errno)") }
    defer { close(fd) }
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
      guard count > 0 else { throw Failure(description: "cannot write \(draft): errno \(errno)") }
      sent += count
    }
    guard rename(draft, path) == 0 else { throw Failure(description: "cannot write \(path): errno \(errno)") }
  }
}
