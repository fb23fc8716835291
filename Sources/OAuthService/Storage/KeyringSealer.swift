import SecretVault
import TLSSession

/// Seals columns under the newest of the vault's keys.
final class KeyringSealer: ColumnSealer {
  private let seal: ColumnSeal

  init(_ keys: Keyring) { seal = ColumnSeal(keys) }

  func seal(_ secret: SecretBytes, _ purpose: SealPurpose, _ user: UserKey) throws(OAuthFailure) -> [UInt8] {
    do {
      return try seal.seal(secret, for: Self.place(purpose, user))
    } catch {
      throw .vaultUnavailable
    }
  }

  func open(_ sealed: [UInt8], _ purpose: SealPurpose, _ user: UserKey) -> SecretBytes? {
    try? seal.open(sealed, for: Self.place(purpose, user))
  }

  private static func place(_ purpose: SealPurpose, _ user: UserKey) -> [String] {
    ["emailmcp.column.v1", user.tenant, user.user, "gmail_api", purpose.rawValue]
  }
}
