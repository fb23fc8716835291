internal import COpenSSL
internal import Glibc

/// A small certificate authority, for development on one machine and for tests.
package struct CertificateAuthority: Sendable {
  package let certificate: Certificate
  package let key: PrivateKey

  package init(certificate: Certificate, key: PrivateKey) {
    self.certificate = certificate
    self.key = key
  }

  /// A certificate with its key, and the chain to show (leaf only: the authority is the root).
  package struct Issued: Sendable {
    package let certificate: Certificate
    package let key: PrivateKey

    /// For settings made in memory.
    package func identity() throws(TLSError) -> TLSIdentity {
      TLSIdentity(certificateChain: .bytes(certificate.pem), privateKey: .bytes(try key.pem().revealed))
    }
  }

  /// What a certificate says. Times are seconds since 1970.
  package struct Request: Sendable {
    package var commonName: String
    package var dnsNames: [String]
    package var ipAddresses: [String]
    package var uris: [String]
    package var notBefore: Int64
    package var notAfter: Int64

    /// Valid from five minutes ago, for clocks that differ a little.
    package init(
      commonName: String, dnsNames: [String] = [], ipAddresses: [String] = [], uris: [String] = [],
      days: Int = 365, now: Int64 = CertificateAuthority.systemTime()
    ) {
      self.commonName = commonName
      self.dnsNames = dnsNames
      self.ipAddresses = ipAddresses
      self.uris = uris
      notBefore = now - 300
      notAfter = now + Int64(days) * 86_400
    }
  }

  /// Makes a self-signed root that may sign leaves and nothing else.
  package static func make(
    commonName: String, days: Int = 3650, now: Int64 = systemTime()
  ) throws(TLSError) -> CertificateAuthority {
    let key = try PrivateKey.generateEC()
    let request = Request(commonName: commonName, days: days, now: now)
    let certificate = try build(request, subjectKey: key, issuer: nil, signingKey: key, isAuthority: true)
    return CertificateAuthority(certificate: certificate, key: key)
  }

  /// Issues a certificate for servers and clients alike, with a fresh P-256 key.
  package func issue(_ request: Request) throws(TLSError) -> Issued {
    let subjectKey = try PrivateKey.generateEC()
    let leaf = try Self.build(
      request, subjectKey: subjectKey, issuer: certificate, signingKey: key, isAuthority: false)
    return Issued(certificate: leaf, key: subjectKey)
  }

  package static func systemTime() -> Int64 { Int64(time(nil)) }

  private static func build(
    _ request: Request, subjectKey: PrivateKey, issuer: Certificate?, signingKey: PrivateKey, isAuthority: Bool
  ) throws(TLSError) -> Certificate {
    ERR_clear_error()
    guard let pointer = X509_new() else { throw .openSSL(.library, "making a certificate") }
    let certificate = Certificate(adopting: pointer)
    var serial = SecureRandom.bytes(16)
    serial[0] = serial[0] & 0x7F | 0x40  // positive, and never shorter
    let name = X509_get_subject_name(pointer)
    let number = BN_bin2bn(serial, Int32(serial.count), nil)
    defer { BN_free(number) }
    let isFilled =
      X509_set_version(pointer, 2) == 1
      && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(pointer)) != nil
      && X509_NAME_add_entry_by_txt(name, "CN", emcp_utf8_type(), request.commonName, -1, -1, 0) == 1
      && X509_set_issuer_name(pointer, issuer.map { X509_get_subject_name($0.pointer) } ?? name) == 1
      && ASN1_TIME_set(X509_getm_notBefore(pointer), time_t(request.notBefore)) != nil
      && ASN1_TIME_set(X509_getm_notAfter(pointer), time_t(request.notAfter)) != nil
      && X509_set_pubkey(pointer, subjectKey.pointer) == 1
    guard isFilled else { throw .openSSL(.invalidInput, "making a certificate") }
    let issuerPointer = issuer?.pointer ?? pointer
    for (identifier, value) in try extensions(request, isAuthority: isAuthority) {
      guard emcp_add_extension(pointer, issuerPointer, identifier, value) == 1 else {
        throw .openSSL(.invalidInput, "certificate extension \(value)")
      }
    }
    guard X509_sign(pointer, signingKey.pointer, SHA256.algorithm) > 0 else {
      throw .openSSL(.library, "signing a certificate")
    }
    return certificate
  }

  private static func extensions(_ request: Request, isAuthority: Bool) throws(TLSError) -> [(Int32, String)] {
    if isAuthority {
      return [
        (NID_basic_constraints, "critical,CA:TRUE,pathlen:0"), (NID_key_usage, "critical,keyCertSign,cRLSign"),
        (NID_subject_key_identifier, "hash"),
      ]
    }
    let names =
      request.dnsNames.map { "DNS:\($0)" } + request.ipAddresses.map { "IP:\($0)" } + request.uris.map { "URI:\($0)" }
    // The value below is a small language of its own; what it gives meaning to may not come from a name.
    guard names.allSatisfy({ $0.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: ",") } }) else {
      throw TLSError(.invalidInput, "a name of a certificate is printable ASCII without commas")
    }
    var all: [(Int32, String)] = [
      (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
      (NID_ext_key_usage, "serverAuth,clientAuth"), (NID_subject_key_identifier, "hash"),
      (NID_authority_key_identifier, "keyid"),
    ]
    if !names.isEmpty { all.append((NID_subject_alt_name, names.joined(separator: ","))) }
    return all
  }
}
