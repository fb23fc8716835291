package import RPCRuntime

extension OAuth {
  /// What the oauth service implements. Tenant and user are in the call's context.
  package protocol Service {
    func startAuthorization(
      _ request: StartAuthorizationRequest, _ call: ServiceCall
    ) async throws -> StartAuthorizationResponse
    func sealCallback(_ request: SealCallbackRequest, _ call: ServiceCall) async throws -> SealCallbackResponse
    /// The context may have no user: `user_binding_required`.
    func completeAuthorization(
      _ request: CompleteAuthorizationRequest, _ call: ServiceCall
    ) async throws -> CompleteAuthorizationResponse
    func getProfile(_ request: GetProfileRequest, _ call: ServiceCall) async throws -> GetProfileResponse
    func getAccessToken(_ request: GetAccessTokenRequest, _ call: ServiceCall) async throws -> GetAccessTokenResponse
    func disconnect(_ request: DisconnectRequest, _ call: ServiceCall) async throws -> DisconnectResponse
    func watchConnections(
      _ request: WatchConnectionsRequest, _ writer: MessageWriter<WatchConnectionsResponse>, _ call: ServiceCall
    ) async throws
  }
}

extension RPCServer {
  /// Serves the service, each method behind a check of its context, which an interceptor must have
  /// verified and attached.
  package func register(_ service: some OAuth.Service) {
    let registrar = ServiceRegistrar(server: self)
    let connect = MethodAccess(.edge, scope: "connect")
    registrar.unary(OAuth.startAuthorization, connect) { try await service.startAuthorization($0, $1) }
    registrar.unary(OAuth.sealCallback, MethodAccess(.edge, needsTenant: false, needsUser: false)) {
      try await service.sealCallback($0, $1)
    }
    registrar.unary(OAuth.completeAuthorization, MethodAccess(.edge, scope: "connect", needsUser: false)) {
      try await service.completeAuthorization($0, $1)
    }
    registrar.unary(OAuth.getProfile, MethodAccess(.edge, scope: "read")) { try await service.getProfile($0, $1) }
    registrar.unary(OAuth.getAccessToken, MethodAccess(.mailer)) { try await service.getAccessToken($0, $1) }
    registrar.unary(OAuth.disconnect, connect) { try await service.disconnect($0, $1) }
    let watch = MethodAccess(.mailer, needsTenant: false, needsUser: false)
    registrar.serverStreaming(OAuth.watchConnections, watch, endsOnDrain: true) {
      try await service.watchConnections($0, $1, $2)
    }
  }
}
