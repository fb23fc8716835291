package import CivilTime
package import RPCRuntime
package import TLSSession
import WireCodec

extension CallContext {
  /// The metadata that carries a ``SignedCallContext``.
  package static let metadataName: Metadata.Name = "emailmcp-context-bin"

  /// How long a signed context is good for: longer than any call waits, too short to be worth stealing.
  package static let lifetime = Duration.seconds(120)

  /// How far the clocks of two hosts may be apart.
  package static let clockTolerance = Duration.seconds(30)

  /// Who may vouch for a context.
  package enum Issuer: String, Sendable {
    /// For a caller with a credential.
    case edge
    /// For the mailer's own work on its queue.
    case mailer
  }
}

/// Signs contexts with a ring's newest key.
package struct CallContextSigner: Sendable {
  private let key: Keyring.Key
  private let issuer: CallContext.Issuer

  package init(_ keys: Keyring, issuer: CallContext.Issuer) {
    key = keys.newest
    self.issuer = issuer
  }

  /// The value of the metadata `emailmcp-context-bin`. Issuer and times are filled in here.
  package func sign(_ context: CallContext, at now: Timestamp = .now()) -> [UInt8] {
    var context = context
    context.issuer = issuer.rawValue
    context.issuedAt = ProtobufTimestamp(now)
    context.expiresAt = ProtobufTimestamp(now + CallContext.lifetime)
    let bytes = context.wireBytes()
    var signed = SignedCallContext()
    signed.keyID = key.id
    signed.signature = HMACSHA256.authenticate(bytes, key: key.secret)
    signed.context = bytes
    return signed.wireBytes()
  }

  /// Metadata with the signed context alone: what a call on the caller's behalf is made with.
  package func metadata(_ context: CallContext, at now: Timestamp = .now()) -> Metadata {
    [CallContext.metadataName: .binary(sign(context, at: now))]
  }
}

/// Reads signed contexts, with any key of a ring.
package struct CallContextVerifier: Sendable {
  private let keys: Keyring

  package init(_ keys: Keyring) { self.keys = keys }

  /// The context of a call's metadata.
  ///
  /// - Throws: UNAUTHENTICATED `bad_context` when it is missing, given twice, malformed, signed by nobody known, or not of
  ///   this time. Why exactly stays in the error's cause.
  package func verify(_ metadata: Metadata, at now: Timestamp = .now()) throws(RPCError) -> CallContext {
    let values = metadata.values(CallContext.metadataName)
    guard values.count == 1, case .binary(let bytes) = values[0] else {
      throw refusal(values.isEmpty ? "none given" : "more than one given")
    }
    return try verify(bytes, at: now)
  }

  package func verify(_ bytes: [UInt8], at now: Timestamp = .now()) throws(RPCError) -> CallContext {
    guard let signed = try? SignedCallContext(wire: bytes) else { throw refusal("not a SignedCallContext") }
    guard let key = keys[signed.keyID] else { throw refusal("unknown key") }
    guard HMACSHA256.isValid(signed.signature, for: signed.context, key: key.secret) else {
      throw refusal("wrong signature")
    }
    guard let context = try? CallContext(wire: signed.context), let issuedAt = context.issuedAt?.timestamp,
      let expiresAt = context.expiresAt?.timestamp
    else { throw refusal("not a CallContext") }
    guard issuedAt <= now + CallContext.clockTolerance else { throw refusal("issued in the future") }
    guard now < expiresAt, expiresAt <= issuedAt + CallContext.lifetime else { throw refusal("expired") }
    return context
  }

  private func refusal(_ reason: StaticString) -> RPCError {
    RPCError(
      .unauthenticated, reason: "bad_context", domain: ServiceError.domain, "The call carries no valid context.",
      cause: Refusal(reason: reason))
  }

  private struct Refusal: Error, CustomStringConvertible {
    let reason: StaticString
    var description: String { "emailmcp-context-bin: \(reason)" }
  }
}
