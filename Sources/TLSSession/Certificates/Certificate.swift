internal import COpenSSL

/// An X.509 certificate. Immutable, hence Sendable.
package final class Certificate: @unchecked Sendable {
  let pointer: OpaquePointer

  init(adopting pointer: OpaquePointer) { self.pointer = pointer }

  deinit { X509_free(pointer) }

  /// All certificates of a PEM text, in order; at least one.
  package static func parse(pem: [UInt8]) throws(TLSError) -> [Certificate] {
    try parse(pem: pem, source: .bytes([]))
  }

  static func parse(pem: [UInt8], source: PEMSource) throws(TLSError) -> [Certificate] {
    ERR_clear_error()
    let certificates = withMemoryBIO(pem) { bio in
      var certificates: [Certificate] = []
      while let certificate = emcp_read_certificate(bio) { certificates.append(Certificate(adopting: certificate)) }
      return certificates
    }
    guard emcp_is_pem_end(ERR_peek_last_error()) == 1 else {
      throw .openSSL(.configuration, "a broken certificate in \(source)")
    }
    ERR_clear_error()
    guard !certificates.isEmpty else { throw TLSError(.configuration, "no certificate in \(source)") }
    return certificates
  }

  package var pem: [UInt8] {
    let bio = BIO_new(BIO_s_mem())
    defer { BIO_free(bio) }
    precondition(PEM_write_bio_X509(bio, pointer) == 1, "OpenSSL: out of memory")
    return bytes(of: bio)
  }

  /// By RFC 2253, one line.
  package var subject: String {
    let bio = BIO_new(BIO_s_mem())
    defer { BIO_free(bio) }
    X509_NAME_print_ex(bio, X509_get_subject_name(pointer), 0, emcp_rfc2253())
    return String(decoding: bytes(of: bio), as: UTF8.self)
  }

  /// SHA-256 of the DER form.
  package var fingerprint: [UInt8] {
    var digest = [UInt8](repeating: 0, count: SHA256.digestSize)
    precondition(X509_digest(pointer, SHA256.algorithm, &digest, nil) == 1, "OpenSSL: no SHA-256")
    return digest
  }

  /// Seconds since 1970 in UTC, both inclusive.
  package var validity: ClosedRange<Int64>? {
    let from = emcp_asn1_time(X509_get0_notBefore(pointer))
    let to = emcp_asn1_time(X509_get0_notAfter(pointer))
    return from <= to ? from...to : nil
  }

  /// - Parameter now: seconds since 1970.
  /// - Throws: `not_valid_now`.
  package func requireValid(at now: Int64) throws(TLSError) {
    guard let validity, !validity.contains(now) else { return }
    throw TLSError(
      .notValidNow, "the certificate \(subject) \(now < validity.lowerBound ? "is not valid yet" : "has ended")")
  }

  /// URI and DNS names. Names with bytes outside printable ASCII are left out: nothing honest has them, and a NUL
  /// inside has deceived comparisons before.
  package var alternativeNames: (uris: [String], dnsNames: [String]) {
    guard let names = emcp_san_open(pointer) else { return ([], []) }
    defer { emcp_san_close(names) }
    var uris: [String] = []
    var dnsNames: [String] = []
    for index in 0..<emcp_san_count(names) {
      var data: UnsafePointer<UInt8>?
      var count = 0
      let type = emcp_san_at(names, index, &data, &count)
      let bytes = UnsafeBufferPointer(start: data, count: count)
      guard bytes.allSatisfy({ $0 > 32 && $0 < 127 }), !bytes.isEmpty else { continue }
      if type == GEN_URI { uris.append(String(decoding: bytes, as: UTF8.self)) }
      if type == GEN_DNS { dnsNames.append(String(decoding: bytes, as: UTF8.self)) }
    }
    return (uris, dnsNames)
  }
}
