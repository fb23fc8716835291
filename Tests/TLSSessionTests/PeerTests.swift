import Testing

@testable import TLSSession

@Suite("Who the peer is")
struct PeerTests {
  let site: Site
  let oauth = "spiffe://emailmcp/oauth"

  init() throws { site = try Site() }

  /// The code of the error that ends the handshake of `pair`, and the server's and client's view of it.
  private func failure(_ pair: Pair) -> TLSError? {
    do {
      try pair.run()
      return nil
    } catch {
      return error as? TLSError
    }
  }

  @Test("With mutual TLS each side knows the other by its URI name")
  func mutual() throws {
    let server = try TLSServerContext(
      TLSServerSettings(
        identity: site.identity("oauth", uris: [oauth]), clientRoots: site.roots, protocols: ["h2"],
        minimumVersion: .v1_3))
    let client = try TLSClientContext(
      TLSClientSettings(
        roots: .pem(site.roots), identity: site.identity("edge", uris: ["spiffe://emailmcp/edge"]), protocols: ["h2"],
        minimumVersion: .v1_3))
    let pair = Pair(try client.makeEngine(peer: .uri(oauth)), server.makeEngine())
    try pair.run()
    #expect(pair.client.peerIdentity?.spiffeID == oauth)
    #expect(pair.server.peerIdentity?.spiffeID == "spiffe://emailmcp/edge")
    #expect(pair.server.peerIdentity?.subject == "CN=edge")
    #expect(pair.server.peerIdentity?.fingerprint.count == 32)
    #expect(pair.client.negotiatedProtocol == "h2")
  }

  @Test("A client without certificate is refused where one is required")
  func noClientCertificate() throws {
    let server = try TLSServerContext(
      TLSServerSettings(identity: site.identity("oauth", uris: [oauth]), clientRoots: site.roots))
    let client = try TLSClientContext(TLSClientSettings(roots: .pem(site.roots)))
    let pair = Pair(try client.makeEngine(peer: .uri(oauth)), server.makeEngine())
    let error = failure(pair)
    #expect(error?.code == .protocolViolation)
    #expect(pair.serverEvents.isEmpty)
    #expect(pair.server.state == .failed)
    #expect(pair.client.state == .failed, "the alert reaches the client")
  }

  @Test("A client certificate of another authority is refused")
  func strangeClient() throws {
    let server = try TLSServerContext(
      TLSServerSettings(identity: site.identity("oauth", uris: [oauth]), clientRoots: site.roots))
    let client = try TLSClientContext(
      TLSClientSettings(roots: .pem(site.roots), identity: Site().identity("edge", uris: ["spiffe://emailmcp/edge"])))
    let pair = Pair(try client.makeEngine(peer: .uri(oauth)), server.makeEngine())
    #expect(failure(pair)?.code == .certificateRejected)
    #expect(pair.serverEvents.isEmpty)
  }

  @Test(
    "A server must have the expected URI name, and no second one",
    arguments: [["spiffe://emailmcp/mailer"], [], ["spiffe://emailmcp/oauth", "spiffe://emailmcp/mailer"]])
  func wrongURI(uris: [String]) throws {
    let pair = try site.pair(server: site.identity("s", dns: ["localhost"], uris: uris), peer: .uri(oauth))
    #expect(failure(pair)?.code == .certificateRejected)
    #expect(pair.clientEvents.isEmpty)
    #expect(pair.server.state == .failed, "the alert reaches the server")
  }

  @Test("A URI name that only begins like the expected one is refused")
  func prefix() throws {
    let pair = try site.pair(server: site.identity("s", uris: [oauth + "x"]), peer: .uri(oauth))
    #expect(failure(pair)?.code == .certificateRejected)
  }

  @Test("A server must have the expected DNS name")
  func wrongHost() throws {
    let pair = try site.pair(server: site.identity("s", dns: ["example.com"]), peer: .host("example.org"))
    #expect(failure(pair)?.code == .certificateRejected)
  }

  @Test("An IP address is matched against IP names")
  func address() throws {
    let identity = try site.identity("s", dns: ["127.0.0.2"], ip: ["127.0.0.1", "::1"])
    for good in ["127.0.0.1", "::1"] { try site.pair(server: identity, peer: .host(good)).run() }
    #expect(failure(try site.pair(server: identity, peer: .host("127.0.0.2")))?.code == .certificateRejected)
  }

  @Test("An expired certificate is refused, and one of the future")
  func expired() throws {
    let now = CertificateAuthority.systemTime()
    for moment in [now - 3 * 86_400, now + 3 * 86_400] {
      let pair = try site.pair(server: site.identity("s", dns: ["localhost"], now: moment), peer: .host("localhost"))
      #expect(failure(pair)?.code == .certificateRejected)
    }
  }

  @Test("A certificate of an unknown authority is refused")
  func unknownAuthority() throws {
    let pair = try site.pair(server: Site().identity("s", dns: ["localhost"]), peer: .host("localhost"))
    #expect(failure(pair)?.code == .certificateRejected)
  }

  @Test("A leaf cannot act as an authority")
  func leafAsAuthority() throws {
    let leaf = try site.authority.issue(.init(commonName: "leaf"))
    let rogue = try CertificateAuthority(certificate: leaf.certificate, key: leaf.key)
      .issue(.init(commonName: "rogue", dnsNames: ["localhost"]))
    let identity = TLSIdentity(
      certificateChain: .bytes(rogue.certificate.pem + leaf.certificate.pem),
      privateKey: .bytes(try rogue.key.pem().revealed))
    #expect(failure(try site.pair(server: identity, peer: .host("localhost")))?.code == .certificateRejected)
  }

  @Test("An empty expected name is refused, for OpenSSL would take it as any", arguments: ["", "a\0b"])
  func emptyName(name: String) throws {
    let client = try TLSClientContext(TLSClientSettings(roots: .pem(site.roots)))
    #expect(throws: TLSError.self) { try client.makeEngine(peer: .host(name)) }
    #expect(throws: TLSError.self) { try client.makeEngine(peer: .uri(name)) }
  }
}
