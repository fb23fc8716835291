internal import COpenSSL

/// HMAC with SHA-256 (RFC 2104).
package enum HMACSHA256 {
  package static let size = 32

  // Fetched once, shared, never freed.
  private nonisolated(unsafe) static let algorithm = EVP_MAC_fetch(nil, "HMAC", nil)

  package static func authenticate(_ message: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> [UInt8] {
    guard let context = EVP_MAC_CTX_new(algorithm) else { fatalError("OpenSSL: no HMAC") }
    defer { EVP_MAC_CTX_free(context) }
    // OpenSSL takes a null key for "the key of before": an empty one needs an address.
    var none: UInt8 = 0
    let isReady = withUnsafePointer(to: &none) { empty in
      let bytes = key.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? empty
      return emcp_hmac_init(context, bytes, key.count)
    }
    precondition(isReady == 1, "OpenSSL: no HMAC")
    let bytes = message.baseAddress?.assumingMemoryBound(to: UInt8.self)
    precondition(EVP_MAC_update(context, bytes, message.count) == 1)
    return [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
      precondition(EVP_MAC_final(context, buffer.baseAddress, &initialized, size) == 1)
    }
  }

  package static func authenticate(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
    message.withUnsafeBytes { message in key.withUnsafeBytes { authenticate(message, key: $0) } }
  }

  package static func authenticate(_ message: [UInt8], key: SecretBytes) -> [UInt8] {
    message.withUnsafeBytes { message in key.withUnsafeBytes { authenticate(message, key: $0) } }
  }

  package static func isValid(_ code: [UInt8], for message: [UInt8], key: SecretBytes) -> Bool {
    constantTimeEqual(code, authenticate(message, key: key))
  }
}
