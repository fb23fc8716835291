public import RPCRuntime

/// Every error carries a google.rpc.ErrorInfo with domain "emailmcp"; its reason is named at each method. Tenant and
/// user come from the call's context (emailmcp.common.v1.CallContext).
public enum OAuth {
  /// The service's full name.
  public static let service = "emailmcp.oauth.v1.OAuth"

  /// Starts a connection of the context's user and answers Google's page to send the browser to.
  ///
  /// Errors: INVALID_ARGUMENT `redirect_url_not_allowed`, INVALID_ARGUMENT `invalid_request`, FAILED_PRECONDITION
  /// `google_not_configured`.
  public static let startAuthorization = UnaryMethod<StartAuthorizationRequest, StartAuthorizationResponse>(
    service, "StartAuthorization")

  /// Takes what Google gave the browser at our own redirect URI, seals Google's code for at most 120 s and answers
  /// where to send the browser. Needs no tenant and no user in the context: the state is the capability.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_state` (nowhere to redirect to: show a plain page).
  public static let sealCallback = UnaryMethod<SealCallbackRequest, SealCallbackResponse>(service, "SealCallback")

  /// Completes a connection: state, tenant and user must match before Google's code is exchanged. The state is used up
  /// whatever comes of it.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_state`, `consent_denied`, `user_binding_required` (no user in the context);
  /// FAILED_PRECONDITION `scope_not_granted`, `unexpected_account`, `email_not_verified`; ABORTED `google_unavailable`,
  /// `vault_unavailable` (begin anew); INTERNAL `invalid_id_token`, `no_refresh_token`.
  public static let completeAuthorization = UnaryMethod<CompleteAuthorizationRequest, CompleteAuthorizationResponse>(
    service, "CompleteAuthorization")

  /// The state of the context's user's connection. A user never seen is no error.
  public static let getProfile = UnaryMethod<GetProfileRequest, GetProfileResponse>(service, "GetProfile")

  /// An access token of the context's user's account, refreshed where needed, once for all who ask at the same time.
  /// For the mailer alone.
  ///
  /// Errors: FAILED_PRECONDITION `not_connected`, `reauth_required`; UNAVAILABLE `google_unavailable`,
  /// `vault_unavailable`.
  public static let getAccessToken = UnaryMethod<GetAccessTokenRequest, GetAccessTokenResponse>(
    service, "GetAccessToken")

  /// Forgets the connection of the context's user: revokes at Google where no other user shares the account, and
  /// removes the secret. The second time it does nothing and succeeds.
  public static let disconnect = UnaryMethod<DisconnectRequest, DisconnectResponse>(service, "Disconnect")

  /// Changes of connections, of all tenants, as they are committed, for as long as the call lasts. For services that
  /// keep tokens: they drop a dead one at once. The first answer is `started`; what changed before it is not told, so a
  /// listener then forgets what it kept.
  public static let watchConnections = ServerStreamingMethod<WatchConnectionsRequest, WatchConnectionsResponse>(
    service, "WatchConnections")
}
