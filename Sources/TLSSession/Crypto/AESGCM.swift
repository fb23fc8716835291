internal import COpenSSL

/// AES-256 in Galois/Counter Mode (NIST SP 800-38D), 96-bit nonce, 128-bit tag.
///
/// With random nonces a key may seal at most 2³² messages.
package enum AESGCM {
  package static let keySize = 32
  package static let nonceSize = 12
  package static let tagSize = 16

  // Fetched once, shared, never freed.
  private nonisolated(unsafe) static let cipher = EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)

  package struct Sealed: Hashable, Sendable {
    package var nonce: [UInt8]
    /// As long as the plaintext, and the tag behind it.
    package var ciphertext: [UInt8]

    package init(nonce: [UInt8], ciphertext: [UInt8]) {
      self.nonce = nonce
      self.ciphertext = ciphertext
    }

    /// Nonce and ciphertext in one piece.
    package var combined: [UInt8] { nonce + ciphertext }

    /// Nil when too short to be a sealed message.
    package init?(combined: some Collection<UInt8>) {
      guard combined.count >= AESGCM.nonceSize + AESGCM.tagSize else { return nil }
      nonce = Array(combined.prefix(AESGCM.nonceSize))
      ciphertext = Array(combined.dropFirst(AESGCM.nonceSize))
    }
  }

  /// Seals under a fresh random nonce.
  package static func seal(
    _ plaintext: SecretBytes, key: SecretBytes, authenticating data: [UInt8] = []
  ) throws(TLSError) -> Sealed {
    try seal(plaintext, key: key, nonce: SecureRandom.bytes(nonceSize), authenticating: data)
  }

  /// For test vectors; the same nonce twice under one key breaks the cipher.
  static func seal(
    _ plaintext: SecretBytes, key: SecretBytes, nonce: [UInt8], authenticating data: [UInt8]
  ) throws(TLSError) -> Sealed {
    let context = try start(key: key, nonce: nonce, data: data, sealing: true)
    defer { EVP_CIPHER_CTX_free(context) }
    var output = [UInt8](repeating: 0, count: plaintext.count + tagSize)
    var count: Int32 = 0
    let isSealed = output.withUnsafeMutableBufferPointer { output in
      plaintext.withUnsafeBytes { input in
        EVP_CipherUpdate(
          context, output.baseAddress, &count, input.baseAddress?.assumingMemoryBound(to: UInt8.self),
          Int32(input.count)) == 1
          && EVP_CipherFinal_ex(context, output.baseAddress! + Int(count), &count) == 1
          && EVP_CIPHER_CTX_ctrl(
            context, EVP_CTRL_AEAD_GET_TAG, Int32(tagSize), output.baseAddress! + input.count) == 1
      }
    }
    guard isSealed else { throw .openSSL(.library, "sealing") }
    return Sealed(nonce: nonce, ciphertext: output)
  }

  /// - Throws: `invalidInput` when the key, the data or the message are not those that were sealed.
  package static func open(
    _ sealed: Sealed, key: SecretBytes, authenticating data: [UInt8] = []
  ) throws(TLSError) -> SecretBytes {
    guard sealed.ciphertext.count >= tagSize else { throw TLSError(.invalidInput, "sealed message too short") }
    let context = try start(key: key, nonce: sealed.nonce, data: data, sealing: false)
    defer { EVP_CIPHER_CTX_free(context) }
    let length = sealed.ciphertext.count - tagSize
    var tag = Array(sealed.ciphertext[length...])
    var plaintext = [UInt8](repeating: 0, count: length + 1)  // never empty, so that it has an address
    defer { plaintext.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
    var count: Int32 = 0
    let isOpened = plaintext.withUnsafeMutableBufferPointer { output in
      sealed.ciphertext.withUnsafeBufferPointer { input in
        EVP_CipherUpdate(context, output.baseAddress, &count, input.baseAddress, Int32(length)) == 1
          && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagSize), &tag) == 1
          && EVP_CipherFinal_ex(context, output.baseAddress! + Int(count), &count) == 1
      }
    }
    ERR_clear_error()
    guard isOpened else { throw TLSError(.invalidInput, "the sealed message does not open") }
    return SecretBytes(plaintext[..<length])
  }

  /// Opens what stands in `bytes` from `start` on, ciphertext and tag, in its place, for what is too large to be there
  /// twice. The tag stays behind the plaintext; after an error nothing of it is there.
  ///
  /// - Throws: `invalidInput` as `open` does.
  package static func openInPlace(
    _ bytes: inout [UInt8], from start: Int, nonce: [UInt8], key: SecretBytes, authenticating data: [UInt8]
  ) throws(TLSError) {
    let length = bytes.count - start - tagSize
    guard length >= 0 else { throw TLSError(.invalidInput, "sealed message too short") }
    let context = try Self.start(key: key, nonce: nonce, data: data, sealing: false)
    defer { EVP_CIPHER_CTX_free(context) }
    var count: Int32 = 0
    let isOpened = bytes.withUnsafeMutableBufferPointer { bytes in
      let text = bytes.baseAddress! + start
      let isOpened =
        EVP_CipherUpdate(context, text, &count, text, Int32(length)) == 1
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagSize), text + length) == 1
        && EVP_CipherFinal_ex(context, text + Int(count), &count) == 1
      if !isOpened { OPENSSL_cleanse(text, length) }
      return isOpened
    }
    ERR_clear_error()
    guard isOpened else { throw TLSError(.invalidInput, "the sealed message does not open") }
  }

  /// Seals a message piece by piece under a fresh random nonce, as `seal` does at once. Used by one task.
  package final class Sealing {
    package let nonce: [UInt8]
    private let context: OpaquePointer

    package init(key: SecretBytes, authenticating data: [UInt8]) throws(TLSError) {
      nonce = SecureRandom.bytes(nonceSize)
      context = try AESGCM.start(key: key, nonce: nonce, data: data, sealing: true)
    }

    deinit { EVP_CIPHER_CTX_free(context) }

    /// Appends the next piece's ciphertext.
    package func seal(_ piece: some Collection<UInt8>, appendingTo output: inout [UInt8]) throws(TLSError) {
      let start = output.count
      output.append(contentsOf: piece)
      var count: Int32 = 0
      let isSealed = output.withUnsafeMutableBufferPointer { output in
        guard output.count > start, let text = output.baseAddress.map({ $0 + start }) else { return true }
        return EVP_CipherUpdate(context, text, &count, text, Int32(output.count - start)) == 1
      }
      guard isSealed else { throw .openSSL(.library, "sealing") }
    }

    /// Appends the tag; the message ends with it.
    package func finish(appendingTo output: inout [UInt8]) throws(TLSError) {
      var (tag, count) = ([UInt8](repeating: 0, count: tagSize), Int32(0))
      guard EVP_CipherFinal_ex(context, &tag, &count) == 1,
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tagSize), &tag) == 1
      else { throw .openSSL(.library, "sealing") }
      output.append(contentsOf: tag)
    }
  }

  private static func start(
    key: SecretBytes, nonce: [UInt8], data: [UInt8], sealing: Bool
  ) throws(TLSError) -> OpaquePointer {
    guard key.count == keySize else { throw TLSError(.invalidInput, "an AES-256 key has \(keySize) bytes") }
    guard nonce.count == nonceSize else { throw TLSError(.invalidInput, "a nonce has \(nonceSize) bytes") }
    ERR_clear_error()
    guard let context = EVP_CIPHER_CTX_new() else { throw .openSSL(.library, "AES-GCM") }
    var count: Int32 = 0
    let isReady = key.withUnsafeBytes { key in
      EVP_CipherInit_ex2(
        context, cipher, key.baseAddress?.assumingMemoryBound(to: UInt8.self), nonce, sealing ? 1 : 0, nil) == 1
        && (data.isEmpty || EVP_CipherUpdate(context, nil, &count, data, Int32(data.count)) == 1)
    }
    guard isReady else {
      EVP_CIPHER_CTX_free(context)
      throw .openSSL(.library, "AES-GCM")
    }
    return context
  }
}
