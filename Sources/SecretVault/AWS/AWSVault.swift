package import EventLoop
package import HTTPSClient
package import Logging
import StrictJSON
import TLSSession

/// A secret a user in AWS Secrets Manager, under the names that the platform's other tools read.
package final class AWSVault: SecretVault {
  private let manager: SecretsManager
  private let reactor: Reactor
  private let logger: Logger
  private let recoveryDays: Int
  private var cachedClient: (value: OAuthClientSecret?, until: Instant)?

  /// The OAuth client's secret is read again after this long, so that a change needs no restart.
  static let clientLifetime: Duration = .seconds(300)
  static let clientName = "emailmcp/oauth/config"

  /// - Parameter client: must allow plain HTTP to the settings' `plaintextHosts`.
  /// - Parameter recoveryDays: 7–30, how long a deleted secret can be restored.
  package init(
    _ settings: AWSSettings, client: HTTPSClient, reactor: Reactor, recoveryDays: Int = 30,
    logger: Logger = Logger(label: "vault")
  ) {
    precondition(7...30 ~= recoveryDays)
    let chain = AWSCredentialChain(settings, client: client, reactor: reactor)
    manager = SecretsManager(settings, chain: chain, client: client, reactor: reactor)
    self.reactor = reactor
    self.recoveryDays = recoveryDays
    self.logger = logger
  }

  package func put(_ secret: UserSecret, for owner: SecretOwner) async throws(VaultError) -> String {
    let name = SecretName(owner).text
    let value = secret.json
    // One token for all attempts: a repetition of a write that did take effect changes nothing.
    let token = Hex.encode(SecureRandom.bytes(16))
    return try await checked { () throws in
      // A user's first grant is the common case: ask to create. Over a deleted secret the service may say that it exists
      // or that the request is invalid; only reading tells surely.
      for _ in 0..<3 {
        do {
          return try await write("CreateSecret", name: name, value, token)
        } catch let refusal as SecretsManager.Refusal {
          switch refusal.type {
          case "ResourceExistsException": if try await isDeleted(name) { try await restore(name) }
          case "InvalidRequestException": try await restore(name)
          default: throw refusal
          }
        }
        do {
          return try await write("PutSecretValue", name: name, value, token)
        } catch let refusal as SecretsManager.Refusal
          where refusal.type == "ResourceNotFoundException" || refusal.type == "InvalidRequestException"
        {
          continue  // deleted meanwhile: begin again
        }
      }
      throw VaultError(.unavailable, "the secret keeps changing under our hands")
    }
  }

  package func get(_ owner: SecretOwner) async throws(VaultError) -> UserSecret? {
    guard let text = try await read(SecretName(owner).text) else { return nil }
    return try UserSecret(json: text)
  }

  package func delete(_ owner: SecretOwner) async throws(VaultError) {
    let name = SecretName(owner).text
    try await checked { () throws in
      do {
        _ = try await manager.call(
          "DeleteSecret",
          Self.body {
            $0.member("SecretId", name)
            $0.member("RecoveryWindowInDays", recoveryDays)
          })
      } catch let refusal as SecretsManager.Refusal
        where refusal.type == "ResourceNotFoundException" || refusal.type == "InvalidRequestException"
      {
        // Not there, or deleted already.
      }
    }
  }

  package func oauthClient() async throws(VaultError) -> OAuthClientSecret? {
    if let cachedClient, cachedClient.until > reactor.now { return cachedClient.value }
    do {
      let value = try await read(Self.clientName).map { bytes throws(VaultError) in
        try OAuthClientSecret(json: bytes)
      }
      cachedClient = (value, reactor.now + Self.clientLifetime)
      return value
    } catch {
      guard let cachedClient else { throw error }
      logger.warning("the OAuth client's secret cannot be read again", metadata: ["error": "\(error)"])
      return cachedClient.value
    }
  }

  // MARK: Operations

  private func read(_ name: String) async throws(VaultError) -> [UInt8]? {
    try await checked { () throws in
      do {
        let answer = try await manager.call("GetSecretValue", Self.body { $0.member("SecretId", name) })
        guard let text = answer["SecretString"]?.stringValue else {
          throw VaultError(.corrupt, "the secret \(name) is not text")
        }
        return Array(text.utf8)
      } catch let refusal as SecretsManager.Refusal
        where refusal.type == "ResourceNotFoundException" || refusal.type == "InvalidRequestException"
      {
        return nil  // not there, or deleted
      }
    }
  }

  private func write(_ operation: String, name: String, _ value: SecretBytes, _ token: String) async throws -> String {
    let answer = try await manager.call(
      operation,
      Self.body {
        $0.member(operation == "CreateSecret" ? "Name" : "SecretId", name)
        $0.member("SecretString", value.revealedText)
        $0.member("ClientRequestToken", token)
      })
    return answer["ARN"]?.stringValue ?? name
  }

  private func isDeleted(_ name: String) async throws -> Bool {
    do {
      _ = try await manager.call("GetSecretValue", Self.body { $0.member("SecretId", name) })
      return false
    } catch let refusal as SecretsManager.Refusal {
      return refusal.type == "InvalidRequestException"
    }
  }

  private func restore(_ name: String) async throws {
    _ = try await manager.call("RestoreSecret", Self.body { $0.member("SecretId", name) })
  }

  private static func body(_ members: (inout JSONWriter) -> Void) -> [UInt8] {
    var writer = JSONWriter()
    writer.object(members)
    return writer.finish()
  }

  private func checked<Value>(_ body: () async throws -> Value) async throws(VaultError) -> Value {
    do {
      return try await body()
    } catch let error as VaultError {
      throw error
    } catch let refusal as SecretsManager.Refusal {
      throw VaultError(.denied, "Secrets Manager refuses: \(refusal.type)")
    } catch {
      throw VaultError(.unavailable, "Secrets Manager cannot be reached")
    }
  }
}
