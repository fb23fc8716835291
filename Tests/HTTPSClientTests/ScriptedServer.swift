import Foundation
import Glibc
import Synchronization

/// A raw loopback server for tests: each accepted connection runs a script on a thread of its own, so that a test can misbehave on the wire
/// in any way it likes.
final class ScriptedServer: Sendable {
  let port: UInt16
  private let listener: Int32
  private let state = Mutex(State())

  private struct State {
    var connections = 0
    var closed = 0
    var requests: [Request] = []
  }

  struct Request: Sendable {
    let connection: Int
    let head: String
    let body: [UInt8]
  }

  init(_ script: @escaping @Sendable (Peer) -> Void) throws {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    listener = fd
    var one: Int32 = 1
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        bind(fd, raw, length) == 0 && listen(fd, 2_048) == 0 && getsockname(fd, raw, &length) == 0
      }
    }
    guard bound else { throw POSIXError(.EADDRINUSE) }
    port = UInt16(bigEndian: address.sin_port)
    let this = Weak(self)
    Thread.detachNewThread {
      while true {
        let accepted = accept(fd, nil, nil)
        guard accepted >= 0, let server = this.value else { return }
        // A child process of another test would keep the connection open.
        _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
        let index = server.state.withLock { state in
          state.connections += 1
          return state.connections
        }
        let peer = Peer(
          fd: accepted, index: index, record: { request in this.value?.state.withLock { $0.requests.append(request) } },
          closed: { this.value?.state.withLock { $0.closed += 1 } })
        let thread = Thread { script(peer) }
        thread.stackSize = 128 << 10
        thread.start()
      }
    }
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  var requests: [Request] { state.withLock { $0.requests } }
  var connections: Int { state.withLock { $0.connections } }
  /// Connections that the server's side has closed.
  var closedConnections: Int { state.withLock { $0.closed } }
  var authority: String { "127.0.0.1:\(port)" }
}

private struct Weak: @unchecked Sendable {
  weak let value: ScriptedServer?
  init(_ value: ScriptedServer) { self.value = value }
}

/// The server's end of one connection, blocking.
final class Peer: @unchecked Sendable {
  let fd: Int32
  let index: Int
  private let record: (ScriptedServer.Request) -> Void
  private let closed: () -> Void
  private var buffer: [UInt8] = []
  private var isOpen = true

  init(
    fd: Int32, index: Int, record: @escaping (ScriptedServer.Request) -> Void, closed: @escaping () -> Void
  ) {
    self.fd = fd
    self.index = index
    self.record = record
    self.closed = closed
  }

  deinit { close() }

  /// Reads a head and the body that its Content-Length announces; nil at the end of the stream.
  func readRequest(bodyLimit: Int = .max) -> ScriptedServer.Request? {
    guard let head = readHead() else { return nil }
    let length = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
      .flatMap { Int($0.dropFirst(15).trimmingCharacters(in: .whitespaces)) }
    let wanted = min(length ?? 0, bodyLimit)
    while buffer.count < wanted { guard fill() else { return nil } }
    let request = ScriptedServer.Request(connection: index, head: head, body: Array(buffer.prefix(wanted)))
    buffer.removeFirst(wanted)
    record(request)
    return request
  }

  func readHead() -> String? {
    while true {
      if let end = buffer.firstRange(of: Array("\r\n\r\n".utf8)) {
        let head = String(decoding: buffer[..<end.lowerBound], as: UTF8.self)
        buffer.removeFirst(end.upperBound)
        return head
      }
      guard fill() else { return nil }
    }
  }

  /// Waits for the peer to close.
  func waitForEnd() { while fill() { buffer.removeAll() } }

  func write(_ text: String) { write(Array(text.utf8)) }

  func write(_ bytes: [UInt8]) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      sent += count
    }
  }

  func answer(_ status: String = "200 OK", body: String = "{}", headers: String = "") {
    write("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)")
  }

  func halfClose() { shutdown(fd, Int32(SHUT_WR)) }

  func reset() {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
    close()
  }

  func close() {
    guard isOpen else { return }
    isOpen = false
    Glibc.close(fd)
    closed()
  }

  private func fill() -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    let count = recv(fd, &chunk, chunk.count, 0)
    guard count > 0 else { return false }
    buffer.append(contentsOf: chunk[..<count])
    return true
  }
}
