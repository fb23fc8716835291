package import TLSSession

/// Who this process is towards the others, and whom it believes: mutual TLS with SPIFFE names, or none of it.
package struct RPCIdentity: Sendable {
  /// Nil with `EMAILMCP_RPC_TLS=off`: plain HTTP/2, for tests and for a network that is closed otherwise.
  package let files: Files?

  /// PEM files; changes on disk are in use within seconds.
  package struct Files: Sendable {
    package let certificate: String
    package let key: String
    package let authority: String
  }

  package init(_ settings: Settings) {
    guard settings.toggle("EMAILMCP_RPC_TLS", default: true) else {
      files = nil
      return
    }
    files = Files(
      certificate: settings.string("EMAILMCP_TLS_CERT"), key: settings.string("EMAILMCP_TLS_KEY"),
      authority: settings.string("EMAILMCP_TLS_CA"))
  }

  package init(files: Files?) { self.files = files }

  /// For the RPC server; nil without TLS.
  package func serverContext() throws -> TLSServerContext? {
    guard let files else { return nil }
    return try TLSServerContext(
      TLSServerSettings(
        identity: TLSIdentity(certificateFile: files.certificate, keyFile: files.key),
        clientRoots: .file(files.authority), protocols: ["h2"], minimumVersion: .v1_3))
  }

  /// For RPC clients; nil without TLS.
  package func clientContext() throws -> TLSClientContext? {
    guard let files else { return nil }
    return try TLSClientContext(
      TLSClientSettings(
        roots: .pem(.file(files.authority)),
        identity: TLSIdentity(certificateFile: files.certificate, keyFile: files.key), protocols: ["h2"],
        minimumVersion: .v1_3))
  }

  /// The name that a service's certificate carries.
  package static func spiffeID(of service: String) -> String { "spiffe://emailmcp/\(service)" }
}
