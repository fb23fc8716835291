import TestSupport
import Testing

@testable import TLSSession

@Suite("Session")
struct SessionTests {
  let site: Site

  init() throws { site = try Site() }

  private func connected(server: [String] = [], client: [String] = []) throws -> Pair {
    let pair = try site.pair(
      server: site.identity("s", dns: ["localhost"]), peer: .host("localhost"), serverProtocols: server,
      clientProtocols: client)
    try pair.run()
    return pair
  }

  @Test("The server's order of protocols decides")
  func protocols() throws {
    let pair = try connected(server: ["h2", "http/1.1"], client: ["http/1.1", "h2"])
    #expect(pair.server.negotiatedProtocol == "h2")
    #expect(pair.client.negotiatedProtocol == "h2")
  }

  @Test("Without a common protocol the handshake fails with an alert")
  func noCommonProtocol() throws {
    let pair = try site.pair(
      server: site.identity("s", dns: ["localhost"]), peer: .host("localhost"), serverProtocols: ["h2"],
      clientProtocols: ["http/1.1"])
    #expect(throws: TLSError.self) { try pair.run() }
    #expect(pair.server.state == .failed)
    #expect(pair.client.state == .failed)
  }

  @Test("A client that names no protocol gets none")
  func noProtocol() throws {
    #expect(try connected(server: ["h2"]).server.negotiatedProtocol == nil)
  }

  @Test("An end without close_notify is a truncation")
  func truncation() throws {
    let pair = try connected()
    #expect { try pair.client.receiveEnd() } throws: { ($0 as? TLSError)?.code == .truncated }
  }

  @Test("An end during the handshake is a truncation")
  func earlyEnd() throws {
    let pair = try site.pair(server: site.identity("s", dns: ["localhost"]), peer: .host("localhost"))
    #expect { try pair.server.receiveEnd() } throws: { ($0 as? TLSError)?.code == .truncated }
  }

  @Test("close_notify makes an orderly end, and each side closes for itself")
  func orderlyEnd() throws {
    let pair = try connected()
    pair.server.close()
    try pair.run()
    #expect(pair.clientEvents == ["handshake", "closed"])
    #expect(pair.client.isPeerClosed)
    try pair.client.receiveEnd()
    try pair.send(Array("last words".utf8), fromClient: true)
    #expect(pair.serverReceived == Array("last words".utf8))
    pair.client.close()
    try pair.run()
    #expect(pair.server.isPeerClosed)
    #expect(throws: TLSError.self) { try [UInt8](repeating: 0, count: 1).withUnsafeBytes { try pair.client.send($0) } }
  }

  @Test("A changed byte ends the session")
  func tampering() throws {
    let pair = try connected()
    _ = try Array("hello".utf8).withUnsafeBytes { try pair.client.send($0) }
    var bytes = pair.takeOutput(pair.client)
    bytes[bytes.count - 1] ^= 1
    #expect { try pair.deliver(bytes, toServer: true) } throws: { ($0 as? TLSError)?.code == .protocolViolation }
    #expect(pair.serverReceived.isEmpty)
    #expect { try pair.deliver([0], toServer: true) } throws: { ($0 as? TLSError)?.code == .closed }
  }

  @Test("Bytes that are not TLS are refused", arguments: ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"])
  func plaintext(text: String) throws {
    let pair = try site.pair(server: site.identity("s", dns: ["localhost"]), peer: .host("localhost"))
    #expect { try pair.deliver(Array(text.utf8), toServer: true) } throws: {
      ($0 as? TLSError)?.code == .protocolViolation
    }
  }

  @Test("An engine may answer from inside the event that brought the question")
  func reentrantSend() throws {
    let pair = try connected()
    _ = try Array("ping".utf8).withUnsafeBytes { try pair.client.send($0) }
    let bytes = pair.takeOutput(pair.client)
    try bytes.withUnsafeBytes { bytes in
      try pair.server.receive(bytes) { event in
        guard case .plaintext(let question) = event else { return }
        _ = try? pair.server.send(question)
      }
    }
    try pair.run()
    #expect(pair.clientReceived == Array("ping".utf8))
  }

  @Test("TLS 1.2 is spoken where it is allowed, and refused where it is not")
  func version() throws {
    let identity = try site.identity("s", dns: ["localhost"])
    let old = try SSLContext.client(TLSClientSettings(roots: .pem(site.roots)))
    old.limitToTLS12()
    let tolerant = try TLSServerContext(TLSServerSettings(identity: identity))
    let pair = Pair(try .client(old, peer: .host("localhost")), tolerant.makeEngine())
    try pair.run()
    try pair.send(Array("hello".utf8), fromClient: true)
    #expect(pair.server.version == "TLSv1.2")
    #expect(pair.serverReceived == Array("hello".utf8))
    let strict = try TLSServerContext(TLSServerSettings(identity: identity, minimumVersion: .v1_3))
    #expect(throws: TLSError.self) { try Pair(try .client(old, peer: .host("localhost")), strict.makeEngine()).run() }
  }

  @Test("Whatever bytes come, the worst is an error", arguments: 0..<8)
  func brokenInput(seed: UInt64) throws {
    let identity = try site.identity("s", dns: ["localhost"])
    let server = try TLSServerContext(TLSServerSettings(identity: identity, protocols: ["h2"]))
    let client = try TLSClientContext(TLSClientSettings(roots: .pem(site.roots), protocols: ["h2"]))
    var random = SeededRandom(seed: seed &+ 1)
    for _ in 0..<60 {
      let pair = Pair(try client.makeEngine(peer: .host("localhost")), server.makeEngine())
      try pair.client.start()
      // A few honest flights, then one that is changed, cut or made up.
      var toServer = true
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        try? pair.deliver(pair.takeOutput(toServer ? pair.client : pair.server), toServer: toServer)
        toServer.toggle()
      }
      var bytes = pair.takeOutput(toServer ? pair.client : pair.server)
      if bytes.isEmpty { bytes = (0..<64).map { _ in UInt8.random(in: 0...255, using: &random) } }
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      pair.step = Int.random(in: 1...64, using: &random)
      do {
        try pair.deliver(bytes, toServer: toServer)
      } catch {
        #expect(error is TLSError)
      }
      #expect(pair.server.pendingOutput <= TLSEngine.outputLimit)
      #expect(pair.serverReceived.isEmpty)
    }
  }
}
