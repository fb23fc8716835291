import Testing

@testable import TLSSession

@Suite("Handshake")
struct HandshakeTests {
  let site: Site

  init() throws { site = try Site() }

  @Test("Two engines agree and carry bytes both ways")
  func bothWays() throws {
    let pair = try site.pair(server: site.identity("s", dns: ["localhost"]), peer: .host("localhost"))
    try pair.run()
    #expect(pair.clientEvents == ["handshake"])
    #expect(pair.serverEvents == ["handshake"])
    try pair.send(Array("hello".utf8), fromClient: true)
    try pair.send(Array("world".utf8), fromClient: false)
    #expect(pair.serverReceived == Array("hello".utf8))
    #expect(pair.clientReceived == Array("world".utf8))
    #expect(pair.client.version == "TLSv1.3")
    #expect(pair.server.requestedServerName == "localhost")
    #expect(pair.client.peerIdentity?.dnsNames == ["localhost"])
    #expect(pair.server.peerIdentity == nil)
  }

  @Test("Bytes may come one at a time")
  func oneByteAtATime() throws {
    let pair = try site.pair(server: site.identity("s", dns: ["localhost"]), peer: .host("localhost"))
    pair.step = 1
    try pair.run()
    try pair.send(Array("hello".utf8), fromClient: true)
    #expect(pair.serverEvents == ["handshake"])
    #expect(pair.serverReceived == Array("hello".utf8))
  }

  @Test("A megabyte passes in bounded pieces")
  func large() throws {
    let pair = try site.pair(server: site.identity("s", dns: ["localhost"]), peer: .host("localhost"))
    try pair.run()
    let bytes = SecureRandom.bytes(1 << 20)
    let first = try bytes.withUnsafeBytes { try pair.server.send($0) }
    #expect(first >= TLSEngine.outputHighWater - TLSEngine.recordSize)
    #expect(pair.server.pendingOutput <= TLSEngine.outputLimit)
    try pair.send(Array(bytes[first...]), fromClient: false)
    #expect(pair.clientReceived == bytes)
  }

  @Test("Nothing is sent before the handshake is complete")
  func tooEarly() throws {
    let pair = try site.pair(server: site.identity("s", dns: ["localhost"]), peer: .host("localhost"))
    let taken = try [UInt8](repeating: 1, count: 9).withUnsafeBytes { try pair.client.send($0) }
    #expect(taken == 0)
  }
}
