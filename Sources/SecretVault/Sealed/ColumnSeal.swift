package import TLSSession

/// Seals what stands in a column of the database under AES-256-GCM, bound to its place: copied to another row, another
/// tenant or another use it does not open. The newest key seals, all of them open.
///
/// The bytes say how to open them: format (1 byte), length of the key's id (1 byte), the id, nonce, ciphertext with tag.
package struct ColumnSeal: Sendable {
  private static let format: UInt8 = 1
  private let keys: Keyring

  package init(_ keys: Keyring) { self.keys = keys }

  /// - Parameter place: what the secret is for and whose it is, the same list to open it.
  /// - Throws: `TLSError` where OpenSSL fails.
  package func seal(_ secret: SecretBytes, for place: [String]) throws(TLSError) -> [UInt8] {
    let key = keys.newest
    let sealed = try AESGCM.seal(secret, key: key.secret, authenticating: Self.binding(place + [key.id]))
    var bytes: [UInt8] = []
    bytes.reserveCapacity(2 + key.id.utf8.count + sealed.nonce.count + sealed.ciphertext.count)
    bytes.append(Self.format)
    bytes.append(UInt8(key.id.utf8.count))
    bytes.append(contentsOf: key.id.utf8)
    bytes.append(contentsOf: sealed.nonce)
    bytes.append(contentsOf: sealed.ciphertext)
    return bytes
  }

  /// - Throws: `SealError`.
  package func open(_ sealed: [UInt8], for place: [String]) throws(SealError) -> SecretBytes {
    guard sealed.count > 2, sealed[0] == Self.format, sealed.count > 2 + Int(sealed[1]) else { throw .malformed }
    let end = 2 + Int(sealed[1])
    let id = String(decoding: sealed[2..<end], as: UTF8.self)
    guard let key = keys[id] else { throw .unknownKey }
    guard let box = AESGCM.Sealed(combined: sealed[end...]),
      let opened = try? AESGCM.open(box, key: key.secret, authenticating: Self.binding(place + [id]))
    else { throw .malformed }
    return opened
  }

  /// Each part with its length before it, so that no two different lists give the same bytes.
  static func binding(_ parts: [String]) -> [UInt8] {
    var bytes: [UInt8] = []
    for part in parts {
      withUnsafeBytes(of: UInt32(part.utf8.count).bigEndian) { bytes.append(contentsOf: $0) }
      bytes += part.utf8
    }
    return bytes
  }
}

/// Why sealed bytes do not open.
package enum SealError: Error, Sendable {
  /// Sealed under a key that this process does not have: an operator's mistake, cured by giving the key back.
  case unknownKey
  /// Damaged, cut, or sealed for another place.
  case malformed
}
