import EventLoop
import HTTPTypes
import Transport

/// The first owner of a connection: decides between HTTP/1.1 and HTTP/2 and hands over.
final class ProtocolSniffer: ConnectionDelegate, ServedConnection {
  private let connection: Connection
  private let server: HTTPServer
  private let started: Instant
  private var prefix: [UInt8] = []
  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  init(_ connection: Connection, server: HTTPServer) {
    self.connection = connection
    self.server = server
    started = server.reactor.now
    server.add(self)
  }

  func connectionReady() {
    guard connection.isTLS else { return }
    handOver(toHTTP2: connection.negotiatedProtocol == "h2")
  }

  func received(_ bytes: UnsafeRawBufferPointer) {
    prefix.append(contentsOf: bytes)
    let common = min(prefix.count, Self.preface.count)
    guard prefix[..<common].elementsEqual(Self.preface[..<common]) else { return handOver(toHTTP2: false) }
    if common == Self.preface.count { handOver(toHTTP2: true) }
  }

  func readClosed() { connection.close() }

  func closed(_ error: (any Error)?) {
    if error as? TransportError == .handshakeTimedOut { server.configuration.onLimit("handshake_timeout") }
    server.remove(self)
  }

  func check(now: Instant, elapsed: Duration) {
    let limit = prefix.isEmpty ? server.idleTimeout : server.configuration.headerTimeout
    guard now - started > limit else { return }
    if !prefix.isEmpty { server.configuration.onLimit("header_timeout") }
    connection.close()
  }

  /// The client cannot be told anything yet.
  func beginDrain() {}

  func abort() { connection.close() }

  var unsentBytes: Int { 0 }
  func dropAnswers(downTo limit: Int) {}

  private func handOver(toHTTP2: Bool) {
    let next: any ConnectionDelegate & ServedConnection =
      toHTTP2 ? HTTP2ServerConnection(connection, server: server) : HTTP1Connection(connection, server: server)
    server.add(next)
    connection.delegate = next
    server.remove(self)
    if server.isDraining { next.beginDrain() }
    if !prefix.isEmpty { prefix.withUnsafeBytes { next.received($0) } }
  }
}
