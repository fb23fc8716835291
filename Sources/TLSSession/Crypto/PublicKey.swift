internal import COpenSSL

/// An RSA or P-256 public key. Immutable, hence Sendable.
package final class PublicKey: @unchecked Sendable {
  let pointer: OpaquePointer

  private init(adopting pointer: OpaquePointer) { self.pointer = pointer }

  deinit { EVP_PKEY_free(pointer) }

  /// SubjectPublicKeyInfo in PEM form.
  package convenience init(pem: [UInt8]) throws(TLSError) {
    ERR_clear_error()
    guard let key = withMemoryBIO(pem, { PEM_read_bio_PUBKEY($0, nil, nil, nil) }) else {
      throw .openSSL(.invalidInput, "not a public key")
    }
    self.init(adopting: key)
  }

  /// The `n` and `e` of a JSON Web Key (RFC 7518, 6.3.1), big-endian. 2048 to 8192 bits: fewer are not safe, and
  /// more only make each check slow.
  package convenience init(rsaModulus modulus: [UInt8], exponent: [UInt8]) throws(TLSError) {
    ERR_clear_error()
    guard modulus.count <= 1024, exponent.count <= 8 else { throw TLSError(.invalidInput, "RSA key too large") }
    let n = BN_bin2bn(modulus, Int32(modulus.count), nil)
    let e = BN_bin2bn(exponent, Int32(exponent.count), nil)
    defer {
      BN_free(n)
      BN_free(e)
    }
    guard BN_num_bits(n) >= 2048 else { throw TLSError(.invalidInput, "RSA key too small") }
    guard BN_is_odd(n) == 1, BN_is_odd(e) == 1, BN_num_bits(e) >= 2 else {
      throw TLSError(.invalidInput, "not an RSA key")
    }
    guard let key = emcp_rsa_public_key(n, e) else { throw .openSSL(.invalidInput, "not an RSA key") }
    self.init(adopting: key)
  }

  package var isRSA: Bool { EVP_PKEY_get_base_id(pointer) == EVP_PKEY_RSA }

  /// `n` and `e`, big-endian without leading zeros, as a JSON Web Key has them; nil for other kinds of key.
  package var rsaComponents: (modulus: [UInt8], exponent: [UInt8])? {
    guard isRSA, let n = component("n"), let e = component("e") else { return nil }
    return (n, e)
  }

  private func component(_ name: String) -> [UInt8]? {
    var number: OpaquePointer?
    guard EVP_PKEY_get_bn_param(pointer, name, &number) == 1 else { return nil }
    defer { BN_free(number) }
    var bytes = [UInt8](repeating: 0, count: Int(BN_num_bits(number) + 7) / 8)
    BN_bn2bin(number, &bytes)
    return bytes
  }

  /// Checks a signature by `RS256`; false for a wrong one and for a key of another kind.
  package func verifyRS256(_ signature: [UInt8], of message: [UInt8]) -> Bool {
    guard isRSA else { return false }
    ERR_clear_error()
    let context = EVP_MD_CTX_new()
    defer {
      EVP_MD_CTX_free(context)
      ERR_clear_error()
    }
    return EVP_DigestVerifyInit(context, nil, SHA256.algorithm, nil, pointer) == 1
      && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
  }
}
