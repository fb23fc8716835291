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

  /// - Parameter service: whose certificate it must be.
  package init(_ settings: Settings, of service: String) {
    guard settings.toggle("EMAILMCP_RPC_TLS", default: true) else {
      files = nil
      return
    }
    let files = Files(
      certificate: settings.string("EMAILMCP_TLS_CERT"), key: settings.string("EMAILMCP_TLS_KEY"),
      authority: settings.string("EMAILMCP_TLS_CA"))
    self.files = files
    guard ![files.certificate, files.key, files.authority].contains("") else { return }
    do {
      _ = try serverContext()
      let leaf = try Certificate.parse(pem: Array(readSettingFile(files.certificate).utf8))[0]
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
