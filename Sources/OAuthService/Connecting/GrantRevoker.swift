import Logging
import TLSSession

/// Ends grants at Google that nobody needs any more. One a loop.
///
/// Google revokes per project and account: all grants of this Google account die, those of other users and tenants too. So
/// none is revoked whose account anybody is connected to. Of the same account a newer grant cannot be kept while an older one is
/// ended; that one is left to Google, which drops the oldest of more than 100.
final class GrantRevoker {
  private let google: any GoogleOAuth
  private let accounts: any AccountStore
  private let logger: Logger

  init(google: any GoogleOAuth, accounts: any AccountStore, logger: Logger) {
    self.google = google
    self.accounts = accounts
    self.logger = logger
  }

  /// Revokes where no user is connected to the Google account, which is asked first: a consent to the same account that
  /// another user gives in that moment may die with it, and is asked for again. What fails is said in log and audit, and no
  /// more: whatever this was a part of is done.
  func revoke(_ token: SecretBytes, of googleSub: String, for user: UserKey, actor: String) async {
    do {
      guard try await !accounts.isLinked(googleSub: googleSub) else { return }
      let isDead = await isRevoked(token)
      try await accounts.noteRevocation(user, succeeded: isDead, actor: actor)
    } catch {
      logger.warning("a grant was not revoked at Google", metadata: ["error": "\(error)"])
    }
  }

  /// Asks Google alone.
  func isRevoked(_ token: SecretBytes) async -> Bool {
    let isDead = (try? await google.revoke(token)) ?? false
    if !isDead { logger.warning("a grant could not be revoked at Google") }
    return isDead
  }
}
