package import RPCRuntime

/// Who may call a method: proven by the peer's certificate, by the issuer of the context and by the credential's scope.
package struct MethodAccess: Sendable {
  /// Who may vouch for a context.
  package enum Issuer: String, Sendable {
    /// For a caller with a credential.
    case edge
    /// For the mailer's own work on its queue.
    case mailer
  }

  /// Who vouches for the context, and whose certificate the peer shows.
  package var issuer: Issuer

  /// What the caller's credential must allow; nil where none is needed.
  package var scope: String?

  /// Whether the context must name a tenant.
  package var needsTenant = true

  /// Whether the context must name a user.
  package var needsUser = true

  package init(_ issuer: Issuer, scope: String? = nil, needsTenant: Bool = true, needsUser: Bool = true) {
    self.issuer = issuer
    self.scope = scope
    self.needsTenant = needsTenant
    self.needsUser = needsUser
  }

  /// The options that the method is registered with.
  package func options(
    maxRequestBytes: Int? = nil, endsOnDrain: Bool = false, latencyShowsLoad: Bool = true
  ) -> MethodOptions {
    MethodOptions(
      maxRequestBytes: maxRequestBytes, allowedPeers: ["spiffe://emailmcp/\(issuer.rawValue)"],
      endsOnDrain: endsOnDrain, latencyShowsLoad: latencyShowsLoad)
  }

  /// Lets the context in or says why not.
  ///
  /// - Throws: UNAUTHENTICATED `invalid_context` for a context without what the method needs, PERMISSION_DENIED for a
  ///   credential without the scope.
  package func check(_ context: CallContext) throws(RPCError) {
    guard context.issuer == issuer.rawValue, !needsTenant || !context.tenantID.isEmpty,
      !needsUser || !context.userID.isEmpty
    else {
      throw RPCError(.unauthenticated, reason: "invalid_context", "The call's context is not one for this method.")
    }
    guard let scope else { return }
    guard context.scopes.contains(scope) else {
      throw RPCError(.permissionDenied, reason: "missing_scope", "The credential lacks the scope \"\(scope)\".")
    }
  }
}

/// A call whose context was verified: what a service's method gets beside the request.
package struct ServiceCall {
  /// For whom the call is.
  package let context: CallContext

  /// The call itself: metadata, deadline, peer.
  package let server: ServerContext

  package var tenantID: String { context.tenantID }

  package var userID: String { context.userID }
}

/// Registers a service's methods, each behind a check of its context.
struct ServiceRegistrar {
  let server: RPCServer

  func unary<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ access: MethodAccess, maxRequestBytes: Int? = nil,
    latencyShowsLoad: Bool = true, _ handler: @escaping (Request, ServiceCall) async throws -> Response
  ) {
    let options = access.options(maxRequestBytes: maxRequestBytes, latencyShowsLoad: latencyShowsLoad)
    server.handle(method, options: options) { request, context in
      try await handler(request, try Self.admit(context, access))
    }
  }

  func serverStreaming<Request, Response>(
    _ method: ServerStreamingMethod<Request, Response>, _ access: MethodAccess, endsOnDrain: Bool = false,
    _ handler: @escaping (Request, MessageWriter<Response>, ServiceCall) async throws -> Void
  ) {
    server.handle(method, options: access.options(endsOnDrain: endsOnDrain)) { request, writer, context in
      try await handler(request, writer, try Self.admit(context, access))
    }
  }

  func bidirectional<Request, Response>(
    _ method: BidirectionalMethod<Request, Response>, _ access: MethodAccess, maxRequestBytes: Int? = nil,
    _ handler: @escaping (MessageReader<Request>, MessageWriter<Response>, ServiceCall) async throws -> Void
  ) {
    server.handle(method, options: access.options(maxRequestBytes: maxRequestBytes)) {
      reader, writer, context in
      try await handler(reader, writer, try Self.admit(context, access))
    }
  }

  private static func admit(_ context: ServerContext, _ access: MethodAccess) throws(RPCError) -> ServiceCall {
    guard let verified = context.attached(CallContext.self) else {
      throw RPCError(.unauthenticated, reason: "invalid_context", "The call carries no valid context.")
    }
    try access.check(verified)
    return ServiceCall(context: verified, server: context)
  }
}
