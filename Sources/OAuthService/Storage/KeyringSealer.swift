import TLSSession

/// Seals columns under the newest of the vault's keys. The blob says how to open it:
/// version (1 byte), length of the key's id (1 byte), the id, nonce, ciphertext with tag.
final class KeyringSealer: ColumnSealer {
  private static let version: UInt8 = 1
  private let keys: Keyring

  init(_ keys: Keyring) { self.keys = keys }

  func seal(_ secret: SecretBytes, _ purpose: SealPurpose, _ user: UserKey) throws(OAuthFailure) -> [UInt8] {
    let key = keys.newest
    do {
      let sealed = try AESGCM.seal(secret, key: key.secret, authenticating: Self.binding(purpose, user, key.id))
      return [Self.version, UInt8(key.id.utf8.count)] + key.id.utf8 + sealed.combined
    } catch {
      throw .vaultUnavailable
    }
  }

  func open(_ sealed: [UInt8], _ purpose: SealPurpose, _ user: UserKey) -> SecretBytes? {
    guard sealed.count > 2, sealed[0] == Self.version else { return nil }
    let rest = sealed.dropFirst(2)
    let id = String(decoding: rest.prefix(Int(sealed[1])), as: UTF8.self)
    guard let key = keys[id], let box = AESGCM.Sealed(combined: rest.dropFirst(Int(sealed[1]))) else { return nil }
    return try? AESGCM.open(box, key: key.secret, authenticating: Self.binding(purpose, user, id))
  }

  /// Each part with its length before it, so that no two different lists give the same bytes.
  private static func binding(_ purpose: SealPurpose, _ user: UserKey, _ keyID: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for part in ["emailmcp.column.v1", user.tenant, user.user, "gmail_api", purpose.rawValue, keyID] {
      let count = UInt32(part.utf8.count)
      bytes += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) }
      bytes += part.utf8
    }
    return bytes
  }
}
