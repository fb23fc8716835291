internal import COpenSSL

/// Bytes that must not leak: keys, tokens. Prints and reflects as `<redacted>`, is compared in constant time,
/// and is overwritten when the last copy goes.
package struct SecretBytes: Sendable, Equatable {
  // Immutable after init, hence safe to share.
  private final class Storage: @unchecked Sendable {
    let buffer: UnsafeMutableRawBufferPointer
    init(count: Int) { buffer = .allocate(byteCount: count, alignment: 16) }
    deinit {
      OPENSSL_cleanse(buffer.baseAddress, buffer.count)
      buffer.deallocate()
    }
  }
  private let storage: Storage

  package init(_ bytes: some Collection<UInt8>) {
    storage = Storage(count: bytes.count)
    storage.buffer.copyBytes(from: bytes)
  }

  package init(_ text: String) { self.init(text.utf8) }

  /// Fresh bytes from the system's random source.
  package init(randomCount count: Int) {
    storage = Storage(count: count)
    SecureRandom.fill(storage.buffer)
  }

  package var count: Int { storage.buffer.count }

  /// The pointer is valid during the call only.
  package func withUnsafeBytes<R, E>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try body(UnsafeRawBufferPointer(storage.buffer))
  }

  /// A plain copy, for the one place that must have it (a request body, a header).
  package var revealed: [UInt8] { withUnsafeBytes { [UInt8]($0) } }

  /// A plain copy as text; bytes that are not UTF-8 are replaced.
  package var revealedText: String { withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }

  package static func == (a: SecretBytes, b: SecretBytes) -> Bool {
    a.withUnsafeBytes { a in b.withUnsafeBytes { b in constantTimeEqual(a, b) } }
  }
}

extension SecretBytes: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package var description: String { "<redacted>" }
  package var debugDescription: String { "<redacted>" }
  package var customMirror: Mirror { Mirror(self, children: []) }
}
