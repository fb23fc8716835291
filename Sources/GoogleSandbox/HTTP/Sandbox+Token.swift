import CivilTime
import HTTPTypes
import StrictJSON
import TLSSession

/// The token, revocation and key endpoints.
extension Sandbox {
  func token(_ request: SandboxRequest) -> SandboxAnswer {
    let form = request.form
    let account = form?["refresh_token"].flatMap { grants.refreshTokens[$0]?.account.address }
    return underFaults(.token, account: account, refusal: tokenFault) {
      guard let form else { return tokenError(400, "invalid_request", "Could not parse the request body as a form") }
      if let name = form.firstRepeatedName {
        return tokenError(400, "invalid_request", "Parameter not allowed twice: \(name)")
      }
      if let refusal = checkClient(form, request) { return refusal }
      switch form["grant_type"] {
      case "authorization_code": return redeemCode(form)
      case "refresh_token": return refresh(form)
      case nil: return tokenError(400, "invalid_request", "Required parameter is missing: grant_type")
      case let other?: return tokenError(400, "unsupported_grant_type", "Invalid grant_type: \(other)")
      }
    }
  }

  /// Credentials in the form or by HTTP Basic.
  private func checkClient(_ form: URLEncodedForm, _ request: SandboxRequest) -> SandboxAnswer? {
    var (id, secret) = (form["client_id"], form["client_secret"])
    if let header = request.fields[.authorization] {
      let parts = header.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, parts[0].lowercased() == "basic", let bytes = Base64.decode(parts[1]),
        let text = String(validating: bytes, as: UTF8.self)
      else { return tokenError(401, "invalid_client", "Unauthorized") }
      let pair = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      (id, secret) = (pair[0], pair.count > 1 ? pair[1] : "")
    }
    guard let id else { return tokenError(400, "invalid_request", "Could not determine client ID from request.") }
    guard id == configuration.client.id else {
      return tokenError(401, "invalid_client", "The OAuth client was not found.")
    }
    guard let secret else { return tokenError(400, "invalid_request", "client_secret is missing.") }
    guard constantTimeEqual(Array(secret.utf8), Array(configuration.client.secret.utf8)) else {
      return tokenError(401, "invalid_client", "Unauthorized")
    }
    return nil
  }

  private func redeemCode(_ form: URLEncodedForm) -> SandboxAnswer {
    guard let text = form["code"] else { return tokenError(400, "invalid_request", "Missing required parameter: code") }
    guard let redirectURI = form["redirect_uri"] else {
      return tokenError(400, "invalid_request", "Missing required parameter: redirect_uri")
    }
    guard let code = grants.redeemCode(text, now: now) else {
      return tokenError(400, "invalid_grant", "Malformed auth code.")
    }
    guard redirectURI == code.request.redirectURI else {
      return tokenError(400, "redirect_uri_mismatch", "Bad Request")
    }
    if let challenge = code.request.codeChallenge {
      guard let verifier = form["code_verifier"] else {
        return tokenError(400, "invalid_grant", "Missing code verifier.")
      }
      guard PKCE.isVerifier(verifier), Base64.encode(SHA256.hash(verifier.utf8), .urlSafe) == challenge else {
        return tokenError(400, "invalid_grant", "Invalid code verifier.")
      }
    } else if form["code_verifier"] != nil {
      return tokenError(400, "invalid_grant", "code_verifier or verifier is not needed.")
    }
    var refreshToken: String?
    if code.isOffline {
      let token = grants.issueRefreshToken(for: code.account, scopes: code.scopes)
      journal?.granted(token, GrantStore.RefreshToken(account: code.account, scopes: code.scopes))
      refreshToken = token
    }
    return tokens(for: code.account, scopes: code.scopes, nonce: code.request.nonce, refreshToken: refreshToken)
  }

  private func refresh(_ form: URLEncodedForm) -> SandboxAnswer {
    guard let text = form["refresh_token"] else {
      return tokenError(400, "invalid_request", "Missing required parameter: refresh_token")
    }
    guard let grant = grants.refreshTokens[text] else {
      return tokenError(400, "invalid_grant", "Token has been expired or revoked.")
    }
    return tokens(for: grant.account, scopes: grant.scopes, nonce: nil, refreshToken: nil)
  }

  private func tokens(
    for account: Account, scopes: [OAuthScope], nonce: String?, refreshToken: String?
  ) -> SandboxAnswer {
    let accessToken = grants.issueAccessToken(for: account, scopes: scopes, now: now)
    var identity: String?
    if scopes.contains(.openID) {
      identity = try? signingKey.identityToken(
        for: account, client: configuration.client, scopes: scopes, nonce: nonce, accessToken: accessToken,
        issuer: configuration.issuer, now: now)
      guard identity != nil else { return tokenError(500, "server_error", "The id_token could not be signed.") }
    }
    var json = JSONWriter()
    json.object { json in
      json.member("access_token", accessToken)
      json.member("expires_in", GrantStore.accessTokenSeconds)
      if let refreshToken { json.member("refresh_token", refreshToken) }
      json.member("scope", scopes.spaceSeparated)
      json.member("token_type", "Bearer")
      if let identity { json.member("id_token", identity) }
    }
    return uncached(.json(200, json.finish()))
  }

  func revoke(_ request: SandboxRequest) -> SandboxAnswer {
    let text = request.form?["token"] ?? request.query["token"]
    let account = text.flatMap { grants.refreshTokens[$0]?.account.address }
    return underFaults(.revoke, account: account, refusal: tokenFault) {
      guard let text else { return tokenError(400, "invalid_request", "Missing required parameter: token") }
      guard let account = grants.revoke(text, now: now) else {
        return tokenError(400, "invalid_token", "Token expired or revoked")
      }
      journal?.revoked(account)
      return uncached(.json(200, Array("{}".utf8)))
    }
  }

  func certificates() -> SandboxAnswer {
    underFaults(.certs, account: nil, refusal: tokenFault) {
      var answer = SandboxAnswer.json(200, signingKey.keySet)
      answer.fields[.cacheControl] = "public, max-age=21600, must-revalidate, no-transform"
      return answer
    }
  }

  /// Where each endpoint is, by the name that the client used for this host.
  func discovery(_ request: SandboxRequest) -> SandboxAnswer {
    let base = "http://\(request.host)"
    var json = JSONWriter()
    json.object { json in
      json.member("issuer", configuration.issuer)
      json.member("authorization_endpoint", "\(base)/o/oauth2/v2/auth")
      json.member("token_endpoint", "\(base)/token")
      json.member("revocation_endpoint", "\(base)/revoke")
      json.member("jwks_uri", "\(base)/oauth2/v3/certs")
      for (name, values) in [
        ("response_types_supported", ["code"]), ("subject_types_supported", ["public"]),
        ("id_token_signing_alg_values_supported", ["RS256"]), ("code_challenge_methods_supported", ["S256"]),
        ("grant_types_supported", ["authorization_code", "refresh_token"]),
        ("scopes_supported", OAuthScope.known.map(\.name)),
      ] {
        json.member(name) { json in json.array(of: values) { $0.value($1) } }
      }
    }
    return .json(200, json.finish())
  }

  private func tokenError(
    _ status: Int, _ error: String, _ description: String, subtype: String? = nil
  ) -> SandboxAnswer {
    var json = JSONWriter()
    json.object { json in
      json.member("error", error)
      json.member("error_description", description)
      if let subtype { json.member("error_subtype", subtype) }
    }
    return uncached(.json(status, json.finish()))
  }

  private func tokenFault(_ fault: Fault) -> SandboxAnswer {
    tokenError(
      fault.status ?? 500, fault.reason ?? "internal_failure", fault.message ?? "Internal error", subtype: fault.subtype
    )
  }

  private func uncached(_ answer: SandboxAnswer) -> SandboxAnswer {
    var answer = answer
    answer.fields[.cacheControl] = "no-cache, no-store, max-age=0, must-revalidate"
    return answer
  }
}
