import EventLoop
import Foundation
import Glibc
import HTTPServer
import Logging
import RPCRuntime
import ServiceContracts
import Synchronization
import TLSSession

@testable import EdgeService
@testable import ServiceKit

/// Keys, origins and buckets in memory.
final class MemoryStore: EdgeStore {
  var keys: [String: StoredKey] = [:]
  var origins: [String: String] = [:]
  /// What every question for a key ends with.
  var failure: (any Error)?
  /// Requests that each bucket still grants.
  var budget = Int.max
  var questions = 0
  /// Keys whose use was to be written.
  var uses: [String] = []

  var asked: [TokenAsk] = []

  func key(_ id: String) async throws -> StoredKey? {
    questions += 1
    if let failure { throw failure }
    return keys[id]
  }

  func noteUse(of keyID: String, tenant: String) async throws { uses.append(keyID) }

  func allowsOrigin(_ origin: String, tenant: String?) async throws -> Bool {
    guard let owner = origins[origin] else { return false }
    return tenant == nil || tenant == owner
  }

  func takeTokens(_ asks: [TokenAsk]) async throws -> [TokenGrant] {
    asked += asks
    return asks.map { ask in
      let granted = min(Int(ask.want), budget)
      budget -= granted
      return (granted, .seconds(2))
    }
  }
}

/// An edge on a loop of its own over real sockets, with stand-ins for the services behind it.
final class EdgeSite: Sendable {
  let loop: EventLoop
  let port: UInt16
  let seen = Seen()
  let key: APIKey
  let readOnlyKey: APIKey
  private let parts: Parts
  var clock: ClockDoubt { parts.readiness.clock }
  private let directory: String

  /// Touched on the loop alone.
  final class Parts: @unchecked Sendable {
    var server: HTTPServer?
    var services: RPCServer?
    var backends: Backends?
    let store = MemoryStore()
    let readiness = Readiness()
    /// What the handler's clock shows instead of the time.
    var clock: UInt64?
  }

  static let peppers = Keyring(generating: "p1")
  static let tokenKeys = Keyring(generating: "t1")

  /// - Parameters: requests a second.
  init(ratePerKey: Int = 100, ratePerUser: Int = 10, peppers: Keyring = EdgeSite.peppers) async throws {
    loop = try EventLoop.start(name: "edge")
    let parts = Parts()
    self.parts = parts
    key = APIKey(generating: .live)
    readOnlyKey = APIKey(generating: .live)
    directory = NSTemporaryDirectory() + "edge-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let (key, readOnlyKey, seen, socket) = (key, readOnlyKey, seen, "unix:\(directory)/rpc")
    port = try await loop.run { reactor in
      parts.store.keys[key.id] = Self.stored(key, Set(Scope.allCases))
      parts.store.keys[readOnlyKey.id] = Self.stored(readOnlyKey, [.read])
      parts.store.origins = ["https://crm.example": "default", "https://other.example": "other"]
      let contextKeys = Keyring(generating: "c1")
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

      let services = RPCServer(on: reactor, configuration: Self.large())
      services.use(CallContextInterceptor(keys: contextKeys, logger: logger))
      let fakes = FakeServices(seen: seen)
      Self.register(oauth: fakes, services)
      Self.register(mailer: fakes, services)
      Self.register(reports: fakes, services)
      _ = try await services.listen(on: socket)
      parts.services = services

      let target = try ChannelTarget(socket)
      let backends = Backends(
        oauth: RPCChannel(to: target, on: reactor), mailer: RPCChannel(to: target, on: reactor),
        reports: RPCChannel(to: target, on: reactor), contextKeys: contextKeys)
      parts.backends = backends
      let access = AccessConfiguration(
        tokenKeys: Self.tokenKeys, keyPeppers: peppers,
        ratePerKey: Rate(count: ratePerKey, per: .seconds(1)),
        ratePerUser: Rate(count: ratePerUser, per: .seconds(1)))
      let handler = EdgeHandler(
        store: parts.store, backends: backends, access: access, readiness: parts.readiness,
        logger: logger, on: reactor, now: { parts.clock ?? UInt64(Instant.current().nanoseconds) })
      let server = HTTPServer(on: reactor, configuration: EdgeGraph.serverConfiguration()) {
        await handler.respond(to: $0)
      }
      parts.server = server
      return try server.listen(SocketAddress(numericHost: "127.0.0.1", port: 0)).port
    }
  }

  static func register(oauth: some OAuth.Service, _ server: RPCServer) { server.register(oauth) }
  static func register(mailer: some Mailer.Service, _ server: RPCServer) { server.register(mailer) }
  static func register(reports: some Reports.Service, _ server: RPCServer) { server.register(reports) }

  private static func large() -> ServerConfiguration {
    var configuration = ServerConfiguration()
    configuration.maxRequestBytes = Mailer.maxMessageBytes
    return configuration
  }

  static func stored(
    _ key: APIKey, _ scopes: Set<Scope>, tenant: String = "default", isRevoked: Bool = false,
    isTenantDisabled: Bool = false
  ) -> StoredKey {
    StoredKey(
      tenant: tenant, environment: "live", authenticator: key.authenticator(peppers: peppers), scopes: scopes,
      expiresAt: nil, isRevoked: isRevoked, isTenantDisabled: isTenantDisabled)
  }

  /// Keys whose use was to be written.
  func usesWritten() async -> [String] { await loop.run { _ in parts.store.uses } }

  /// What buckets were asked for.
  func tokensAsked() async -> [TokenAsk] { await loop.run { _ in parts.store.asked } }

  /// Changes the store, on the loop.
  func change(_ body: @Sendable (MemoryStore) -> Void) async { await loop.run { _ in body(parts.store) } }

  /// The handler's time stands still from now on.
  func stopClock() async { await loop.run { _ in parts.clock = UInt64(Instant.current().nanoseconds) } }

  func stop() async {
    await loop.run { _ in
      parts.server?.close()
      parts.backends?.close()
      await parts.services?.drain(within: .zero)
    }
    await loop.shutdown()
    try? FileManager.default.removeItem(atPath: directory)
  }

  struct Reply {
    var status = 0
    var headers: [String: String] = [:]
    var body = ""

    var json: [String: Any] {
      (try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]) ?? [:]
    }
    var code: String? { json["code"] as? String }
  }

  /// Sends one request on a connection of its own.
  func send(
    _ method: String, _ path: String, _ body: String? = nil, key: String? = "", headers: [String: String] = [:]
  ) async -> Reply {
    var head = "\(method) \(path) HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n"
    if let key { head += "Authorization: Bearer \(key.isEmpty ? self.key.revealed : key)\r\n" }
    if let body {
      if headers["Content-Type"] == nil { head += "Content-Type: application/json\r\n" }
      head += "Content-Length: \(body.utf8.count)\r\n"
    }
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    let bytes = Array((head + "\r\n" + (body ?? "")).utf8)
    return await withCheckedContinuation { continuation in
      DispatchQueue.global().async { [port] in continuation.resume(returning: Self.exchange(bytes, port)) }
    }
  }

  private static func exchange(_ bytes: [UInt8], _ port: UInt16) -> Reply {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    var time = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { break }
      sent += count
    }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count <= 0 { break }
      answer += buffer.prefix(count)
    }
    return parse(String(decoding: answer, as: UTF8.self))
  }

  private static func parse(_ text: String) -> Reply {
    var reply = Reply()
    guard let end = text.range(of: "\r\n\r\n") else { return reply }
    let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
    reply.status = Int(lines[0].split(separator: " ")[1]) ?? 0
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      reply.headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
    }
    reply.body = String(text[end.upperBound...])
    guard reply.headers["transfer-encoding"] == "chunked" else { return reply }
    var rest = Array(reply.body.utf8)[...]
    var whole: [UInt8] = []
    while let line = rest.firstIndex(of: UInt8(ascii: "\r")),
      let size = Int(String(decoding: rest[..<line], as: UTF8.self), radix: 16), size > 0
    {
      whole += rest[(line + 2)..<(line + 2 + size)]
      rest = rest[(line + 4 + size)...]
    }
    reply.body = String(decoding: whole, as: UTF8.self)
    return reply
  }
}
