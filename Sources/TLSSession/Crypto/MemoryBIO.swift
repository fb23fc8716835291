internal import COpenSSL

/// Lends bytes to OpenSSL's readers. The BIO does not copy them: an array that is only passed to `BIO_new_mem_buf` may be
/// freed before it is read.
func withMemoryBIO<R>(_ bytes: [UInt8], _ body: (OpaquePointer?) -> R) -> R {
  bytes.withUnsafeBufferPointer { bytes in
    let bio = bytes.isEmpty ? BIO_new(BIO_s_mem()) : BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
    defer { BIO_free(bio) }
    return body(bio)
  }
}
