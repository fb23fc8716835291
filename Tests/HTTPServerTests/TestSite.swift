import EventLoop
import Foundation
import Glibc
import HTTPTypes
import Synchronization
import TLSSession
import Transport

@testable import HTTPServer

/// A server on a loop of its own, with a small application, and what the tests want to know of it.
final class TestSite: Sendable {
  let loop: EventLoop
  let port: UInt16
  private let holder: Holder
  let cancellations = Mutex(0)
  /// Requests for `/soon` whose handler runs.
  let begun = Mutex(0)
  /// Requests for `/stubborn` that run, and whether they may end.
  let stubborn = Mutex((running: 0, mayEnd: false))
  let limits = Mutex<[String]>([])

  final class Holder: @unchecked Sendable {
    // Touched on the loop alone.
    var server: HTTPServer?
  }

  init(
    tls: TLSServerContext? = nil, _ configure: @Sendable (inout HTTPServerConfiguration) -> Void = { _ in }
  ) async throws {
    loop = try EventLoop.start(name: "test")
    let holder = Holder()
    self.holder = holder
    var configuration = HTTPServerConfiguration()
    configuration.sweepInterval = .milliseconds(20)
    configure(&configuration)
    let site = SiteReference()
    configuration.onLimit = { limit in site.value.withLock { $0?.limits.withLock { $0.append(limit) } } }
    let settings = configuration
    port = try await loop.run { reactor in
      let server = HTTPServer(on: reactor, configuration: settings) { request in
        try await TestSite.answer(request, reactor, site)
      }
      holder.server = server
      return try server.listen(SocketAddress(numericHost: "127.0.0.1", port: 0), tls: tls).port
    }
    site.value.withLock { $0 = self }
  }

  final class SiteReference: Sendable {
    let value = Mutex<TestSite?>(nil)
  }

  /// On the loop only.
  var server: HTTPServer? { holder.server }
  var connectionCount: Int { server?.connectionCount ?? 0 }

  /// Bytes that wait for a reader, on all HTTP/1 connections.
  var waitingBytes: Int {
    get async { await loop.run { _ in self.connections.reduce(0) { $0 + $1.connection.bufferedBytes } } }
  }

  /// Bytes that have left, on all HTTP/1 connections.
  var sentBytes: Int {
    get async { await loop.run { _ in self.connections.reduce(0) { $0 + $1.connection.sentBytes } } }
  }

  /// On the loop only.
  private var connections: [HTTP1Connection] {
    holder.server?.connections.values.compactMap { $0 as? HTTP1Connection } ?? []
  }

  /// Has the time limits looked at, as if so much time had passed.
  func check(after time: Duration) async {
    await loop.run { reactor in
      for connection in self.connections { connection.check(now: reactor.now + time, elapsed: .zero) }
      self.holder.server?.limitAnswers()
    }
  }

  func drain(timeout: Duration) async { await loop.run { _ in await self.holder.server?.drain(timeout: timeout) } }

  func stop() async {
    await loop.run { _ in self.holder.server?.close() }
    await loop.shutdown()
  }

  static func answer(
    _ request: HTTPServerRequest, _ reactor: Reactor, _ site: SiteReference
  ) async throws -> HTTPServerResponse {
    let path = request.head.path ?? ""
    switch path.prefix(while: { $0 != "?" }) {
    case "/hello": return .text(.ok, "hello \(request.version)\n")
    case "/echo": return HTTPServerResponse(.ok, body: try await request.body.collect(upTo: 1_000_000))
    case "/count":
      var count = 0
      while let part = try await request.body.next() { count += part.count }
      return .text(.ok, "\(count)")
    case "/ignore": return .text(.ok, "ignored")
    case "/none": return HTTPServerResponse(.noContent)
    case "/throw": throw CancellationError()
    case "/slow":
      do {
        try await reactor.sleep(for: .seconds(30))
      } catch {
        site.value.withLock { $0?.cancellations.withLock { $0 += 1 } }
        throw error
      }
      return .text(.ok, "late")
    case "/soon":
      site.value.withLock { $0?.begun.withLock { $0 += 1 } }
      try await reactor.sleep(for: .milliseconds(1500))  // a busy machine begins a drain late
      return .text(.ok, "soon")
    case "/large": return HTTPServerResponse(.ok, body: [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20))
    case "/stubborn":
      // Heeds no cancellation.
      site.value.withLock { $0?.stubborn.withLock { $0.running += 1 } }
      while site.value.withLock({ $0?.stubborn.withLock { !$0.mayEnd } ?? false }) { await reactor.yield() }
      site.value.withLock { $0?.stubborn.withLock { $0.running -= 1 } }
      return .text(.ok, "at last")
    case "/stream":
      return HTTPServerResponse(.ok, headers: [.contentType: "text/plain"]) { writer in
        for _ in 0..<1000 { try await writer.write([UInt8](repeating: UInt8(ascii: "x"), count: 10_000)) }
      }
    case "/cut":
      return HTTPServerResponse(.ok, headers: [:]) { writer in
        try await writer.write(Array("part".utf8))
        throw CancellationError()
      }
    default: return .text(.notFound, "no \(path)")
    }
  }
}

/// A blocking client socket, for bytes that no HTTP library would send.
final class RawClient: Sendable {
  private let descriptor: Int32

  init(port: UInt16, timeout: Int = 5, receiveBuffer: Int32? = nil) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    if var receiveBuffer {
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<Int32>.size))
    }
    var time = timeval(tv_sec: timeout, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw POSIXError(.ECONNREFUSED) }
  }

  deinit { Glibc.close(descriptor) }

  @discardableResult
  func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  /// Ends our side: what the server sends can still be read.
  func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Up to `size` bytes; empty at the end, `nil` when nothing came in time.
  func receive(_ size: Int = 65536) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: size)
    let count = recv(descriptor, &buffer, size, 0)
    if count < 0 { return errno == EAGAIN ? nil : [] }
    return Array(buffer.prefix(count))
  }

  /// Everything until the server closes.
  func receiveAll() -> String {
    var all: [UInt8] = []
    while let part = receive(), !part.isEmpty { all.append(contentsOf: part) }
    return String(decoding: all, as: UTF8.self)
  }

  /// Everything until `marker` has come.
  func receive(until marker: String) -> String {
    var all = ""
    while !all.contains(marker), let part = receive(), !part.isEmpty { all += String(decoding: part, as: UTF8.self) }
    return all
  }
}

/// Runs a program and gives its output.
func run(_ program: String, _ arguments: [String], input: Data? = nil) async throws -> (status: Int32, output: String) {
  try await withCheckedThrowingContinuation { continuation in
    DispatchQueue.global().async {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = [program] + arguments
      let pipe = Pipe()
      process.standardOutput = pipe
      process.standardError = pipe
      process.standardInput = FileHandle.nullDevice
      do {
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        continuation.resume(returning: (process.terminationStatus, String(decoding: output, as: UTF8.self)))
      } catch {
        continuation.resume(throwing: error)
      }
    }
  }
}
