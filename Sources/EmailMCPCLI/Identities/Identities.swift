import Glibc
import TLSSession

/// The certificates and keys of one installation, in a folder that only its owner can read: made where they are
/// missing, left alone where they are there.
struct Identities {
  let folder: String

  /// The services that have an RPC identity, by their SPIFFE names.
  static let services = ["edge", "oauth", "mailer", "report"]
  /// Key files: `id:base64` rings.
  static let rings = ["vault-keys", "context-keys", "token-keys", "key-pepper"]

  var authorityCertificate: String { "\(folder)/ca.pem" }
  func certificate(_ service: String) -> String { "\(folder)/\(service).pem" }
  func key(_ service: String) -> String { "\(folder)/\(service).key" }
  func file(_ name: String) -> String { "\(folder)/\(name)" }

  /// A certificate with less time left is issued anew.
  static let renewalDays: Int64 = 30
  static let leafDays = 365

  /// What each service is given of it, and what the commands of the owner are: nobody another's key, nobody the authority's.
  static let shares: [(folder: String, files: [String])] = [
    ("edge", ["ca.pem", "edge.key", "edge.pem", "context-keys", "token-keys", "key-pepper"]),
    ("oauth", ["ca.pem", "oauth.key", "oauth.pem", "context-keys", "vault-keys"]),
    ("mailer", ["ca.pem", "mailer.key", "mailer.pem", "context-keys", "vault-keys"]),
    ("report", ["ca.pem", "report.key", "report.pem", "context-keys"]),
    ("owner", ["ca.pem", "vault-keys", "key-pepper"]),
  ]

  /// Copies to each its share, into a folder of its own below this one, to be mounted alone. What has changed since is copied
  /// again, a certificate's key before it; returns the names of the files written.
  func layApart() throws -> [String] {
    var written: [String] = []
    for share in Self.shares {
      try PrivateFile.makeFolder(file(share.folder))
      for name in share.files {
        let (bytes, copy) = (try PrivateFile.read(file(name)), "\(share.folder)/\(name)")
        if PrivateFile.exists(file(copy)), try PrivateFile.read(file(copy)) == bytes { continue }
        try PrivateFile.write(bytes, to: file(copy))
        written.append(copy)
      }
    }
    return written
  }

  /// Makes what is missing; returns the names of the files made.
  func ensure() throws -> [String] {
    try PrivateFile.makeFolder(folder)
    var made: [String] = []
    let authority = try ensureAuthority(&made)
    for service in Self.services where try needsCertificate(service) {
      let request = CertificateAuthority.Request(
        commonName: "emailmcp \(service)", dnsNames: [service, "localhost"], ipAddresses: ["127.0.0.1", "::1"],
        uris: ["spiffe://emailmcp/\(service)"], days: Self.leafDays)
      let issued = try authority.issue(request)
      // The key first: a service that reloads in between finds a pair that does not match, and keeps its old one.
      try PrivateFile.write(try issued.key.pem().revealed, to: key(service))
      try PrivateFile.write(issued.certificate.pem, to: certificate(service))
      made += ["\(service).key", "\(service).pem"]
    }
    for ring in Self.rings where !PrivateFile.exists(file(ring)) {
      try PrivateFile.write(Array(Keyring(generating: "k1").revealedText.utf8), to: file(ring))
      made.append(ring)
    }
    return made
  }

  private func ensureAuthority(_ made: inout [String]) throws -> CertificateAuthority {
    if PrivateFile.exists(authorityCertificate), PrivateFile.exists(file("ca.key")) {
      return CertificateAuthority(
        certificate: try Certificate.parse(pem: PrivateFile.read(authorityCertificate))[0],
        key: try PrivateKey(pem: PrivateFile.read(file("ca.key"))))
    }
    let authority = try CertificateAuthority.make(commonName: "EmailMCP local authority")
    try PrivateFile.write(try authority.key.pem().revealed, to: file("ca.key"))
    try PrivateFile.write(authority.certificate.pem, to: authorityCertificate)
    made += ["ca.key", "ca.pem"]
    return authority
  }

  private func needsCertificate(_ service: String) throws -> Bool {
    guard PrivateFile.exists(certificate(service)), PrivateFile.exists(key(service)) else { return true }
    let current = try Certificate.parse(pem: PrivateFile.read(certificate(service)))[0]
    return (current.validity?.upperBound ?? 0) < CertificateAuthority.systemTime() + Self.renewalDays * 86_400
  }
}
