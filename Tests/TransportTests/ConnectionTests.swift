import EventLoop
import Glibc
import TLSSession
import TestSupport
import Testing

@testable import Transport

/// Records what a connection says, and wakes whoever waits for it.
final class Recorder: ConnectionDelegate {
  let reactor: Reactor
  var connection: Connection?
  var received: [UInt8] = []
  var isReady = false
  var isReadClosed = false
  var isClosed = false
  var drains = 0
  var error: (any Error)?
  var echoes = false
  private var waiters: [(() -> Bool, Waiter<Void>)] = []

  init(_ reactor: Reactor, echoes: Bool = false) {
    self.reactor = reactor
    self.echoes = echoes
  }

  func adopt(_ connection: Connection) {
    self.connection = connection
    connection.delegate = self
  }

  func connectionReady() { isReady = true; check() }
  func received(_ bytes: UnsafeRawBufferPointer) {
    received.append(contentsOf: bytes)
    if echoes { connection?.write(bytes) }
    check()
  }
  func readClosed() { isReadClosed = true; check() }
  func drained() { drains += 1; check() }
  func closed(_ error: (any Error)?) {
    #expect(!isClosed, "closed comes once")
    isClosed = true
    self.error = error
    check()
  }

  func until(_ condition: @escaping () -> Bool) async throws {
    if condition() { return }
    try await reactor.wait { waiters.append((condition, $0)) }
  }

  private func check() {
    waiters.removeAll { condition, waiter in
      guard condition() else { return false }
      waiter.resume(returning: ())
      return true
    }
  }
}

/// A listener and one connection through it.
struct Link {
  let listener: Listener
  let client: Recorder
  let server: Recorder

  static func open(
    _ reactor: Reactor, address: SocketAddress? = nil, echoes: Bool = false, server: TLSServerContext? = nil,
    client: (context: TLSClientContext, peer: ExpectedPeer)? = nil, limits: Connection.Limits = .init()
  ) async throws -> Link {
    let serverSide = Recorder(reactor, echoes: echoes)
    let address = try address ?? SocketAddress(numericHost: "127.0.0.1", port: 0)
    let listener = try Listener(on: reactor, address: address, tls: server, limits: limits) { serverSide.adopt($0) }
    let clientSide = Recorder(reactor)
    clientSide.connection = try .connect(to: listener.address, tls: client, on: reactor, delegate: clientSide)
    let link = Link(listener: listener, client: clientSide, server: serverSide)
    try await clientSide.until { clientSide.isReady || clientSide.isClosed }
    try await serverSide.until { serverSide.isReady || serverSide.isClosed || clientSide.isClosed }
    return link
  }

  func close() {
    listener.close()
    client.connection?.close()
    server.connection?.close()
  }
}

@Suite struct ConnectionTests {
  @Test("bytes go both ways, over TCP and over a path", arguments: [false, true])
  func echo(overPath: Bool) async throws {
    try await onLoop { reactor in
      let path = "/tmp/emailmcp-transport-\(UInt32.random(in: 0 ... .max)).sock"
      let link = try await Link.open(reactor, address: overPath ? SocketAddress(path: path) : nil, echoes: true)
      link.client.connection!.write(Array("hello".utf8))
      try await link.client.until { link.client.received.count == 5 }
      #expect(link.client.received == Array("hello".utf8))
      link.close()
      #expect(link.client.isClosed && link.client.error == nil)
    }
  }

  @Test("a peer that never takes the output does not keep a closing connection")
  func farewellLimit() async throws {
    try await onLoop { reactor in
      let serverSide = Recorder(reactor)
      let listener = try Listener(on: reactor, address: SocketAddress(numericHost: "127.0.0.1", port: 0)) {
        serverSide.adopt($0)
        $0.pauseReading()
      }
      var limits = Connection.Limits()
      limits.flush = .milliseconds(100)
      let client = Recorder(reactor)
      client.connection = try .connect(to: listener.address, limits: limits, on: reactor, delegate: client)
      try await client.until { client.isReady }
      client.connection!.write([UInt8](repeating: 1, count: 16 << 20))
      client.connection!.closeAfterFlush()
      try await client.until { client.isClosed }
      #expect(client.connection!.bufferedBytes == 0)
      listener.close()
      serverSide.connection?.close()
    }
  }

  /// Whatever was not gone after the limit was lost, though it was on its way.
  @Test("a closing connection waits for a peer that takes the output slowly")
  func slowFarewell() async throws {
    try await onLoop { reactor in
      let serverSide = Recorder(reactor)
      let listener = try Listener(on: reactor, address: SocketAddress(numericHost: "127.0.0.1", port: 0)) {
        serverSide.adopt($0)
      }
      var limits = Connection.Limits()
      limits.flush = .seconds(1)
      let client = Recorder(reactor)
      client.connection = try .connect(to: listener.address, limits: limits, on: reactor, delegate: client)
      try await client.until { client.isReady }
      client.connection!.write([UInt8](repeating: 1, count: 32 << 20))
      client.connection!.closeAfterFlush()
      while !serverSide.isReadClosed, !serverSide.isClosed {
        let next = serverSide.received.count + 1 << 20
        serverSide.connection?.resumeReading()
        try await serverSide.until {
          serverSide.received.count >= next || serverSide.isReadClosed || serverSide.isClosed
        }
        serverSide.connection?.pauseReading()
        try await reactor.sleep(for: .milliseconds(100))
      }
      #expect(serverSide.received.count == 32 << 20)
      listener.close()
      serverSide.connection?.close()
    }
  }

  @Test(
    "a megabyte crosses whole while the reader pauses, and the writer hears of the marks", arguments: [false, true])
  func backPressure(tls: Bool) async throws {
    try await onLoop { reactor in
      let link = try await tls ? Link.open(reactor, server: Site.server(), client: Site.client()) : Link.open(reactor)
      let sent = (0..<(8 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      link.server.connection!.pauseReading()
      link.client.connection!.write(sent)
      #expect(!link.client.connection!.isWritable)
      await reactor.yield()
      await reactor.yield()
      #expect(!link.client.connection!.isWritable)
      link.server.connection!.resumeReading()
      try await link.server.until { link.server.received.count == sent.count }
      #expect(link.server.received == sent)
      try await link.client.until { link.client.drains > 0 }
      #expect(link.client.connection!.isWritable)
      link.close()
    }
  }

  /// Only the bytes before encryption were held against the mark, and the writer was never told to go on.
  @Test("the high-water mark counts what is encrypted already: who finds it reached hears `drained`")
  func drainedUnderTLS() async throws {
    try await onLoop { reactor in
      let link = try await Link.open(reactor, server: Site.server(), client: Site.client())
      let (writer, reader) = (link.client.connection!, link.server.connection!)
      reader.pauseReading()
      var sent = 0
      while writer.bufferedBytes == 0 {
        writer.write([UInt8](repeating: 1, count: 32 << 10))
        sent += 32 << 10
        await reactor.yield()
        await reactor.yield()
      }
      let rest = Connection.Limits().highWater - writer.bufferedBytes
      writer.write([UInt8](repeating: 2, count: rest))
      sent += rest
      #expect(!writer.isWritable)
      reader.resumeReading()
      try await link.server.until { link.server.received.count == sent }
      #expect(link.client.drains == 1)
      link.close()
    }
  }

  @Test("the last answer arrives whole before the close, and the peer's half-close is told", arguments: [false, true])
  func closeAfterFlush(tls: Bool) async throws {
    try await onLoop { reactor in
      let link = try await tls ? Link.open(reactor, server: Site.server(), client: Site.client()) : Link.open(reactor)
      let answer = [UInt8](repeating: 7, count: 1 << 20)
      link.server.connection!.write(answer)
      link.server.connection!.closeAfterFlush()
      link.server.connection!.write([1])  // too late: ignored
      try await link.client.until { link.client.isReadClosed }
      #expect(link.client.received == answer)
      link.client.connection!.close()
      try await link.server.until { link.server.isClosed }
      #expect(link.server.error == nil)
      link.listener.close()
    }
  }

  /// It read from the number of its closed descriptor, which another loop might have accepted a connection under.
  @Test("a connection that ends while it writes reads nothing more")
  func noReadAfterEnd() async throws {
    final class Ending: ConnectionDelegate {
      var connection: Connection?
      var isReady = false
      var onFlush: () -> Void = {}
      func connectionReady() { isReady = true }
      func received(_ bytes: UnsafeRawBufferPointer) {}
      func readClosed() {}
      func willFlush() { onFlush() }
      func closed(_ error: (any Error)?) {}
    }
    try await onLoop { reactor in
      let server = Recorder(reactor)
      let listener = try Listener(on: reactor, address: SocketAddress(numericHost: "127.0.0.1", port: 0)) {
        server.adopt($0)
        $0.pauseReading()
      }
      let client = Ending()
      client.connection = try .connect(to: listener.address, on: reactor, delegate: client)
      try await server.until { server.isReady }
      while !client.isReady { await reactor.yield() }
      client.connection!.write([UInt8](repeating: 1, count: 16 << 20))
      await reactor.yield()
      await reactor.yield()
      // Another's descriptors, with bytes to read; one of them takes the number that becomes free.
      var pair: [Int32] = [0, 0]
      #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
      #expect(send(pair[0], "mine", 4, 0) == 4)
      var copies: [Int32] = []
      client.onFlush = {
        client.connection!.close()
        copies = (0..<64).map { _ in dup(pair[1]) }
      }
      client.connection!.ready([.readable, .writable])
      #expect(copies.count == 64)
      var buffer = [UInt8](repeating: 0, count: 8)
      #expect(recv(pair[1], &buffer, 8, Int32(MSG_DONTWAIT)) == 4)
      for descriptor in pair + copies { close(descriptor) }
      listener.close()
      server.connection?.close()
    }
  }

  @Test("a refused connection names the address")
  func refused() async throws {
    try await onLoop { reactor in
      let listener = try Listener(on: reactor, address: SocketAddress(numericHost: "127.0.0.1", port: 0)) { _ in }
      let address = listener.address
      listener.close()
      let client = Recorder(reactor)
      client.connection = try .connect(to: address, on: reactor, delegate: client)
      try await client.until { client.isClosed }
      #expect("\(client.error!)".contains("Connection refused") && "\(client.error!)".contains(address.description))
    }
  }

  @Test("a TLS client that finds no TLS server, and a handshake that never ends, are closed with a reason")
  func handshakeFailures() async throws {
    try await onLoop { reactor in
      let plain = Recorder(reactor)
      let listener = try Listener(on: reactor, address: SocketAddress(numericHost: "127.0.0.1", port: 0)) {
        plain.adopt($0)
      }
      let client = Recorder(reactor)
      client.connection = try .connect(
        to: listener.address, tls: Site.client(), timeout: .milliseconds(30), on: reactor, delegate: client)
      try await client.until { client.isClosed }
      #expect(client.error as? TransportError == .handshakeTimedOut)
      #expect(!client.isReady)
      listener.close()
      plain.connection?.close()

      var limits = Connection.Limits()
      limits.handshake = .milliseconds(20)
      let server = Recorder(reactor)
      let secure = try Listener(on: reactor, address: listener.address, tls: Site.server(), limits: limits) {
        server.adopt($0)
      }
      let dawdler = Recorder(reactor)
      dawdler.connection = try .connect(to: secure.address, on: reactor, delegate: dawdler)
      try await server.until { server.isClosed }
      #expect(server.error as? TransportError == .handshakeTimedOut)
      secure.close()
      dawdler.connection?.close()
    }
  }

  @Test("the wrong server name ends the handshake on both sides with a reason")
  func wrongName() async throws {
    try await onLoop { reactor in
      let (context, _) = Site.client()
      let link = try await Link.open(
        reactor, server: Site.server(), client: (context, .uri("spiffe://emailmcp/other", serverName: nil)))
      #expect((link.client.error as? TLSError)?.code == .certificateRejected)
      try await link.server.until { link.server.isClosed }
      #expect((link.server.error as? TLSError)?.code == .alertReceived)
      link.listener.close()
    }
  }

  @Test("the peer's certificate name and the agreed protocol are known once ready")
  func identities() async throws {
    try await onLoop { reactor in
      let link = try await Link.open(reactor, server: Site.server(), client: Site.client())
      #expect(link.client.connection!.negotiatedProtocol == "h2")
      #expect(link.client.connection!.peerIdentity?.spiffeID == "spiffe://emailmcp/test")
      #expect(link.server.connection!.peerIdentity == nil)
      link.close()
    }
  }

  @Test("the peer's certificate is read once, however often it is asked for")
  func identityOnce() async throws {
    try await onLoop { reactor in
      let link = try await Link.open(reactor, server: Site.server(), client: Site.client())
      func memory() -> UnsafePointer<UInt8>? {
        link.client.connection!.peerIdentity?.fingerprint.withUnsafeBufferPointer(\.baseAddress)
      }
      let first = memory()
      #expect(first != nil)
      #expect(memory() == first)
      link.close()
    }
  }

  @Test("a reset is told as an error, also while reading is paused")
  func reset() async throws {
    try await onLoop { reactor in
      let link = try await Link.open(reactor)
      link.server.connection!.pauseReading()
      link.client.connection!.write([1, 2, 3])
      await reactor.yield()
      await reactor.yield()
      link.server.connection!.close()  // unread bytes: the kernel sends a reset
      try await link.client.until { link.client.isClosed }
      #expect(link.client.error != nil)
      link.listener.close()
    }
  }
}
