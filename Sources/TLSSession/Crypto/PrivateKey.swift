internal import COpenSSL

/// An RSA or P-256 private key. Immutable, hence Sendable; OpenSSL overwrites it when it is freed.
package final class PrivateKey: @unchecked Sendable {
  let pointer: OpaquePointer

  private init(adopting pointer: OpaquePointer) { self.pointer = pointer }

  deinit { EVP_PKEY_free(pointer) }

  package static func generateRSA(bits: Int = 2048) throws(TLSError) -> PrivateKey {
    guard (2048...8192).contains(bits) else { throw TLSError(.invalidInput, "RSA keys have 2048 to 8192 bits here") }
    guard let key = emcp_rsa_generate(UInt32(bits)) else { throw .openSSL(.library, "generating an RSA key") }
    return PrivateKey(adopting: key)
  }

  /// On the curve P-256.
  package static func generateEC() throws(TLSError) -> PrivateKey {
    guard let key = emcp_ec_generate("P-256") else { throw .openSSL(.library, "generating a P-256 key") }
    return PrivateKey(adopting: key)
  }

  /// An unencrypted key in PEM form, PKCS#8 or older.
  package convenience init(pem: [UInt8]) throws(TLSError) {
    try self.init(pem: pem, source: .bytes([]))
  }

  convenience init(pem: [UInt8], source: PEMSource) throws(TLSError) {
    ERR_clear_error()
    guard let key = withMemoryBIO(pem, { emcp_read_private_key($0) }) else {
      throw .openSSL(.configuration, "no usable private key in \(source)")
    }
    self.init(adopting: key)
  }

  /// PKCS#8 in PEM form, unencrypted.
  package func pem() throws(TLSError) -> SecretBytes {
    let bio = BIO_new(BIO_s_secmem())
    defer { BIO_free(bio) }
    guard PEM_write_bio_PKCS8PrivateKey(bio, pointer, nil, nil, 0, nil, nil) == 1 else {
      throw .openSSL(.library, "writing a private key")
    }
    return SecretBytes(bytes(of: bio))
  }

  package var publicKey: PublicKey {
    get throws(TLSError) {
      // The PEM form carries only the public half.
      let bio = BIO_new(BIO_s_mem())
      defer { BIO_free(bio) }
      guard PEM_write_bio_PUBKEY(bio, pointer) == 1 else { throw .openSSL(.library, "reading a public key") }
      return try PublicKey(pem: bytes(of: bio))
    }
  }

  /// RSASSA-PKCS1-v1_5 with SHA-256, the JOSE algorithm `RS256` (RFC 7518, 3.3).
  package func signRS256(_ message: [UInt8]) throws(TLSError) -> [UInt8] {
    guard EVP_PKEY_get_base_id(pointer) == EVP_PKEY_RSA else { throw TLSError(.invalidInput, "RS256 needs an RSA key") }
    ERR_clear_error()
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    guard EVP_DigestSignInit(context, nil, SHA256.algorithm, nil, pointer) == 1 else {
      throw .openSSL(.library, "signing")
    }
    var signature = [UInt8](repeating: 0, count: Int(EVP_PKEY_get_size(pointer)))
    var count = signature.count
    guard EVP_DigestSign(context, &signature, &count, message, message.count) == 1 else {
      throw .openSSL(.library, "signing")
    }
    return Array(signature[..<count])
  }
}

/// What has been written into a memory BIO.
func bytes(of bio: OpaquePointer?) -> [UInt8] {
  var data: UnsafeMutablePointer<CChar>?
  let count = emcp_mem_contents(bio, &data)
  return [UInt8](UnsafeRawBufferPointer(start: data, count: max(count, 0)))
}
