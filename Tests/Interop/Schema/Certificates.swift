import Glibc
public import TLSSession

/// The certificates of `--use_tls`. Files may be given; otherwise the server makes an authority of its own for the run,
/// and leaves its certificate where the client of the same machine looks for it.
public enum InteropCertificates {
  public static let defaultRoots = "/tmp/emailmcp-interop-ca.pem"

  /// The server's identity. Its authority's certificate is written to `path`.
  public static func makeIdentity(rootsAt path: String) throws -> TLSIdentity {
    let authority = try CertificateAuthority.make(commonName: "interop", days: 1)
    let issued = try authority.issue(
      CertificateAuthority.Request(
        commonName: "interop", dnsNames: ["localhost", "*.test.google.fr"], ipAddresses: ["127.0.0.1", "::1"],
        days: 1))
    let pem = authority.certificate.pem
    unlink(path)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0, pem.withUnsafeBytes({ write(descriptor, $0.baseAddress, $0.count) }) == pem.count else {
      throw Flags.Unknown(description: "\(path) cannot be written")
    }
    close(descriptor)
    return try issued.identity()
  }
}
