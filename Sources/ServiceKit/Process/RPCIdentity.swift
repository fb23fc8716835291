package import TLSSession

/// Who this process is towards the others, and whom it believes: mutual TLS with SPIFFE names, or none of it.
package struct RPCIdentity: Sendable {
  /// For RPC servers and clients of all loops. Nil with `EMAILMCP_RPC_TLS=off`: plain HTTP/2, for tests and for a network
  /// that is closed otherwise.
  package private(set) var serverContext: TLSServerContext?
  package private(set) var clientContext: TLSClientContext?

  package static let none = RPCIdentity()

  private init() {}

  /// PEM files; changes on disk are in use within seconds.
  ///
  /// - Parameter service: whose certificate it must be.
  package init(_ settings: Settings, of service: String) {
    guard settings.toggle("EMAILMCP_RPC_TLS", default: true) else { return }
    let certificate = settings.string("EMAILMCP_TLS_CERT")
    let key = settings.string("EMAILMCP_TLS_KEY")
    let authority = settings.string("EMAILMCP_TLS_CA")
    guard ![certificate, key, authority].contains("") else { return }
    let identity = TLSIdentity(certificateFile: certificate, keyFile: key)
    do {
      serverContext = try TLSServerContext(
        TLSServerSettings(
          identity: identity, clientRoots: .file(authority), protocols: ["h2"], minimumVersion: .v1_3),
        onReload: { $0.tell(of: service) })
      clientContext = try TLSClientContext(
        TLSClientSettings(
          roots: .pem(.file(authority)), identity: identity, protocols: ["h2"], minimumVersion: .v1_3),
        onReload: { $0.tell(of: service) })
      let leaf = try Certificate.parse(pem: Array(readSettingFile(certificate).utf8))[0]
      try leaf.requireValid(at: CertificateAuthority.systemTime())
      let (names, own) = (leaf.alternativeNames.uris, Self.spiffeID(of: service))
      if names != [own] {
        settings.fail(
          "EMAILMCP_TLS_CERT",
          "is the certificate of \(names.isEmpty ? "no service" : names.joined(separator: ", ")), not of \(own)")
      }
    } catch {
      settings.fail("EMAILMCP_TLS_CERT, _KEY and _CA", "cannot be used: \(error)")
    }
  }

  /// The name that a service's certificate carries.
  package static func spiffeID(of service: String) -> String { "spiffe://emailmcp/\(service)" }
}
