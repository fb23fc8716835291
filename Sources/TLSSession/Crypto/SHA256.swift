internal import COpenSSL

/// SHA-256 (FIPS 180-4), whole or in pieces.
package struct SHA256: ~Copyable {
  package static let digestSize = 32

  // Fetched once: looking the algorithm up costs more than hashing a short message. Shared, never freed.
  static nonisolated(unsafe) let algorithm = EVP_MD_fetch(nil, "SHA256", nil)

  private let context: OpaquePointer

  package init() {
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, Self.algorithm, nil) == 1 else {
      fatalError("OpenSSL: no SHA-256")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1)
  }

  package mutating func update(_ bytes: some Sequence<UInt8>) {
    let done: Void? = bytes.withContiguousStorageIfAvailable { update(UnsafeRawBufferPointer($0)) }
    if done == nil { Array(bytes).withUnsafeBytes { update($0) } }
  }

  package consuming func finalize() -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Self.digestSize) { buffer, initialized in
      precondition(EVP_DigestFinal_ex(context, buffer.baseAddress, nil) == 1)
      initialized = Self.digestSize
    }
  }

  package static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finalize()
  }

  package static func hash(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finalize()
  }
}
