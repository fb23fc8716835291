import Logging
import TLSSession

/// Forgets connections. One a loop.
final class Disconnector {
  private let revoker: GrantRevoker
  private let accounts: any AccountStore
  private let vault: any GrantVault

  init(google: any GoogleOAuth, accounts: any AccountStore, vault: any GrantVault, logger: Logger) {
    revoker = GrantRevoker(google: google, accounts: accounts, logger: logger)
    self.accounts = accounts
    self.vault = vault
  }

  /// First the row, in one transaction with the question whether this was the last link: from then on nobody gets a
  /// token. Then Google, then the secret. A call that breaks off is finished by the next one, for the row names the
  /// secret until it is gone.
  ///
  /// Google revokes per project and account: all grants of this Google account die, those of other users of ours
  /// too. So only the last link revokes. When Google cannot be reached the secret goes all the same, and the audit
  /// says so: the user wants us to forget.
  func disconnect(_ user: UserKey, actor: String) async throws {
    guard let disconnection = try await accounts.disconnect(user, actor: actor) else { return }
    var revoked: Bool?
    if disconnection.wasLastLink, let grant = try await vault.get(user) {
      revoked = await revoker.isRevoked(grant.refreshToken)
    }
    // The user may have connected anew while Google was asked; that secret is not ours to delete.
    guard try await accounts.find(user)?.status == .disconnected else { return }
    try await vault.delete(user)
    try await accounts.secretRemoved(user, revoked: revoked, actor: actor)
  }
}
