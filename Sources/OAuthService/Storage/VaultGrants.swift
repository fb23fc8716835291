import Logging
import SecretVault
import TLSSession

/// Grants in the process's vault, whichever kind it is.
final class VaultGrants: GrantVault {
  private let vault: any SecretVault
  private let client: GoogleClientSource
  private let logger: Logger

  init(_ vault: any SecretVault, client: GoogleClientSource, logger: Logger) {
    self.vault = vault
    self.client = client
    self.logger = logger
  }

  func put(_ grant: StoredGrant, for user: UserKey) async throws(OAuthFailure) -> String {
    let secret = UserSecret(
      refreshToken: grant.refreshToken, googleSub: grant.googleSub, clientID: client.current?.id)
    do throws(VaultError) {
      return try await vault.put(secret, for: SecretOwner(user))
    } catch {
      throw failure(error)
    }
  }

  func get(_ user: UserKey) async throws(OAuthFailure) -> StoredGrant? {
    do throws(VaultError) {
      let secret = try await vault.get(SecretOwner(user))
      return secret.map { StoredGrant(refreshToken: $0.refreshToken, googleSub: $0.googleSub) }
    } catch {
      throw failure(error)
    }
  }

  func delete(_ user: UserKey) async throws(OAuthFailure) {
    do throws(VaultError) {
      try await vault.delete(SecretOwner(user))
    } catch {
      throw failure(error)
    }
  }

  /// Whatever it is (rights, a lost key, an outage): the user is not to blame, and no account is called dead for it.
  private func failure(_ error: VaultError) -> OAuthFailure {
    if error.code != .cancelled { logger.error("the vault failed", metadata: ["error": "\(error)"]) }
    return .vaultUnavailable
  }
}

extension SecretOwner {
  fileprivate init(_ user: UserKey) { self.init(tenant: user.tenant, user: user.user) }
}
