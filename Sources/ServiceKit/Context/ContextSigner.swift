package import CivilTime
package import RPCRuntime
package import ServiceContracts
package import TLSSession
internal import WireCodec

extension Metadata.Name {
  /// Who a call is for: a `SignedCallContext`.
  package static let callContext: Metadata.Name = "emailmcp-context-bin"
  package static let requestID: Metadata.Name = "x-request-id"
  package static let traceparent: Metadata.Name = "traceparent"
}

/// Vouches for call contexts under the newest key of `EMAILMCP_CONTEXT_KEYS`: in the edge for callers with a credential,
/// in the mailer for its own work on the queue.
package struct ContextSigner: Sendable {
  /// How long a signature counts. Two minutes is the most that a verifier accepts; a call's own deadline is shorter.
  package static let lifetime = Duration.seconds(120)

  private let keys: Keyring
  /// `edge` or `mailer`.
  private let issuer: String

  package init(keys: Keyring, issuer: String) {
    self.keys = keys
    self.issuer = issuer
  }

  /// The value of the metadata `emailmcp-context-bin`. Issuer and times are set here.
  package func sign(_ context: CallContext, now: Timestamp = .now()) -> [UInt8] {
    var context = context
    context.issuer = issuer
    context.issuedAt = ProtobufTimestamp(now)
    context.expiresAt = ProtobufTimestamp(now + Self.lifetime)
    let bytes = context.wireBytes()
    let key = keys.newest
    let signed = SignedCallContext { signed in
      signed.context = bytes
      signed.keyID = key.id
      signed.signature = HMACSHA256.authenticate(bytes, key: key.secret)
    }
    return signed.wireBytes()
  }

  /// Metadata for a call: the signed context, and the request id of the work in hand.
  package func metadata(for context: CallContext, now: Timestamp = .now()) -> Metadata {
    var metadata: Metadata = [.callContext: .binary(sign(context, now: now))]
    if let requestID = LogContext.current?.requestID { try? metadata.append(.requestID, requestID) }
    return metadata
  }
}

/// Checks call contexts against every key of `EMAILMCP_CONTEXT_KEYS`.
package struct ContextVerifier: Sendable {
  /// How far the clocks of two hosts may be apart.
  package static let allowedSkew = Duration.seconds(30)

  private let keys: Keyring

  package init(keys: Keyring) { self.keys = keys }

  /// Why a context is refused. Callers learn only that it is; the log learns which.
  package enum Refusal: Error, Sendable, Hashable {
    case missing, several, malformed, unknownKey, badSignature, expired, notYetValid, livesTooLong
  }

  package func verify(_ value: [UInt8]?, now: Timestamp = .now()) throws(Refusal) -> CallContext {
    guard let value else { throw .missing }
    guard let signed = try? SignedCallContext(wire: value) else { throw .malformed }
    guard let key = keys[signed.keyID] else { throw .unknownKey }
    guard HMACSHA256.isValid(signed.signature, for: signed.context, key: key.secret) else { throw .badSignature }
    guard let context = try? CallContext(wire: signed.context), let issued = context.issuedAt?.timestamp,
      let expires = context.expiresAt?.timestamp
    else { throw .malformed }
    guard expires - issued <= ContextSigner.lifetime else { throw .livesTooLong }
    guard issued <= now + Self.allowedSkew else { throw .notYetValid }
    guard now < expires + Self.allowedSkew else { throw .expired }
    return context
  }
}
