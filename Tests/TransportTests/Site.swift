import TLSSession

/// One authority and one server identity, for all tests of this target.
enum Site {
  static let authority = try! CertificateAuthority.make(commonName: "Transport tests")

  static func server() -> TLSServerContext {
    let request = CertificateAuthority.Request(commonName: "test", uris: ["spiffe://emailmcp/test"], days: 1)
    let identity = try! authority.issue(request).identity()
    return try! TLSServerContext(TLSServerSettings(identity: identity, protocols: ["h2"]))
  }

  static func client() -> (context: TLSClientContext, peer: ExpectedPeer) {
    let roots = TrustRoots.pem(.bytes(authority.certificate.pem))
    let context = try! TLSClientContext(TLSClientSettings(roots: roots, protocols: ["h2"]))
    return (context, .uri("spiffe://emailmcp/test"))
  }
}
