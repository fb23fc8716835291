import TLSSession

/// A request to the authorization endpoint, checked as Google checks it.
struct AuthorizationRequest: Equatable, Sendable {
  let clientID: String
  let redirectURI: String
  let scopes: [OAuthScope]
  let state: String?
  let nonce: String?
  /// The S256 challenge.
  let codeChallenge: String?
  let wantsOffline: Bool
  let prompts: Set<String>
  let loginHint: String?

  /// A request that is answered with an error page and no redirect: nobody knows whether the redirect URI is the client's own.
  struct Refusal: Error, Equatable {
    let status: Int
    let code: String
    let detail: String
  }

  static let knownPrompts: Set<String> = ["none", "consent", "select_account"]

  init(_ form: URLEncodedForm, client: OAuthClient) throws(Refusal) {
    func refuse(_ code: String, _ detail: String, status: Int = 400) -> Refusal {
      Refusal(status: status, code: code, detail: detail)
    }
    if let name = form.firstRepeatedName {
      throw refuse("invalid_request", "OAuth 2 parameters can only have a single value: \(name)")
    }
    guard let clientID = form["client_id"] else {
      throw refuse("invalid_request", "Missing required parameter: client_id")
    }
    guard clientID == client.id else { throw refuse("invalid_client", "The OAuth client was not found.", status: 401) }
    guard let redirectURI = form["redirect_uri"] else {
      throw refuse("invalid_request", "Missing required parameter: redirect_uri")
    }
    guard client.redirectURIs.contains(redirectURI) else {
      throw refuse(
        "redirect_uri_mismatch",
        "The redirect URI in the request, \(redirectURI), does not match the ones authorized for the OAuth client.")
    }
    guard let responseType = form["response_type"] else {
      throw refuse("invalid_request", "Missing required parameter: response_type")
    }
    guard responseType == "code" else {
      throw refuse("unsupported_response_type", "Invalid response_type: \(responseType)")
    }
    guard let scopeText = form["scope"], !scopeText.isEmpty else {
      throw refuse("invalid_request", "Missing required parameter: scope")
    }
    var scopes: [OAuthScope] = []
    for name in scopeText.split(separator: " ") {
      guard let scope = OAuthScope(name) else {
        throw refuse("invalid_scope", "Some requested scopes were invalid. {invalid=[\(name)]}")
      }
      if !scopes.contains(scope) { scopes.append(scope) }
    }
    let accessType = form["access_type"] ?? "online"
    guard ["online", "offline"].contains(accessType) else {
      throw refuse("invalid_request", "Invalid access_type: \(accessType)")
    }
    let prompts = Set((form["prompt"] ?? "").split(separator: " ").map(String.init))
    guard prompts.isSubset(of: Self.knownPrompts), !prompts.contains("none") || prompts.count == 1 else {
      throw refuse("invalid_request", "Invalid parameter value for prompt: \(form["prompt"] ?? "")")
    }
    self.clientID = clientID
    self.redirectURI = redirectURI
    self.scopes = scopes
    self.prompts = prompts
    self.codeChallenge = try Self.challenge(form)
    state = form["state"]
    nonce = form["nonce"]
    wantsOffline = accessType == "offline"
    loginHint = form["login_hint"]
  }

  private static func challenge(_ form: URLEncodedForm) throws(Refusal) -> String? {
    let method = form["code_challenge_method"]
    guard let challenge = form["code_challenge"] else {
      guard method == nil else {
        throw Refusal(status: 400, code: "invalid_request", detail: "Missing required parameter: code_challenge")
      }
      return nil
    }
    // The plain method is Google's too, but nobody who has the choice should use it: the stand-in holds the product to S256.
    guard method == "S256" else {
      throw Refusal(
        status: 400, code: "invalid_request",
        detail: "Invalid parameter value for code_challenge_method: \(method ?? "plain")")
    }
    let isWellFormed = challenge.utf8.count == 43 && challenge.utf8.allSatisfy(PercentText.isUnreserved)
    guard isWellFormed else {
      throw Refusal(status: 400, code: "invalid_request", detail: "Invalid parameter value for code_challenge")
    }
    return challenge
  }

  /// The redirect URI with an answer's parameters added to its query.
  func redirect(with answer: [(name: String, value: String)]) -> String {
    var form = URLEncodedForm()
    if let state { form.append("state", state) }
    for field in answer { form.append(field.name, field.value) }
    return "\(redirectURI)\(redirectURI.contains("?") ? "&" : "?")\(form.encoded)"
  }
}

/// RFC 7636's verifier.
enum PKCE {
  static func isVerifier(_ text: String) -> Bool {
    (43...128).contains(text.utf8.count) && text.utf8.allSatisfy(PercentText.isUnreserved)
  }
}
