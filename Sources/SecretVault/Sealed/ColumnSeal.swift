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

  /// Begins to seal piece by piece what is too large to be in memory twice; `open` and `openInPlace` open it.
  ///
  /// - Parameter output: to which the first bytes are appended, and then what the sealing gives.
  package func sealing(
    for place: [String], appendingTo output: inout [UInt8]
  ) throws(TLSError) -> AESGCM.Sealing {
    let key = keys.newest
    let sealing = try AESGCM.Sealing(key: key.secret, authenticating: Self.binding(place + [key.id]))
    output.append(Self.format)
    output.append(UInt8(key.id.utf8.count))
    output.append(contentsOf: key.id.utf8)
    output.append(contentsOf: sealing.nonce)
    return sealing
  }

  /// Opens in its place what is too large to be in memory twice.
  ///
  /// - Returns: where the secret stands now.
  /// - Throws: `SealError`; then nothing of the secret is there.
  package func openInPlace(_ sealed: inout [UInt8], for place: [String]) throws(SealError) -> Range<Int> {
    let (end, id, key) = try key(of: sealed)
    let start = end + AESGCM.nonceSize
    guard sealed.count >= start + AESGCM.tagSize else { throw .malformed }
    do throws(TLSError) {
      try AESGCM.openInPlace(
        &sealed, from: start, nonce: Array(sealed[end..<start]), key: key,
        authenticating: Self.binding(place + [id]))
    } catch {
      throw .malformed
    }
    return start..<sealed.count - AESGCM.tagSize
  }

  /// - Returns: where the key's id ends, the id and the key.
  private func key(of sealed: [UInt8]) throws(SealError) -> (end: Int, id: String, key: SecretBytes) {
    guard sealed.count > 2, sealed[0] == Self.format, sealed.count > 2 + Int(sealed[1]) else { throw .malformed }
    let end = 2 + Int(sealed[1])
    let id = String(decoding: sealed[2..<end], as: UTF8.self)
    guard let key = keys[id] else { throw .unknownKey }
    return (end, id, key.secret)
  }

  /// - Throws: `SealError`.
  package func open(_ sealed: [UInt8], for place: [String]) throws(SealError) -> SecretBytes {
    let (end, id, key) = try key(of: sealed)
    guard let box = AESGCM.Sealed(combined: sealed[end...]),
      let opened = try? AESGCM.open(box, key: key, authenticating: Self.binding(place + [id]))
    else { throw .malformed }
    return opened
  }

  /// The same secret under the newest key; nil when it is under that one already.
  package func sealAgain(_ sealed: [UInt8], for place: [String]) throws -> [UInt8]? {
    guard try key(of: sealed).id != keys.newest.id else { return nil }
    return try seal(try open(sealed, for: place), for: place)
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
