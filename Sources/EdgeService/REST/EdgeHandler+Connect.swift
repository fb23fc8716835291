import CivilTime
import HTTPServer
import HTTPTypes
import RPCRuntime
import ServiceContracts
import StrictJSON

/// Connecting: authorize, the callback's two ways, disconnect, user tokens.
extension EdgeHandler {
  func startAuthorization(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var call = call
    let body = try JSONFields(try await call.json().value)
    let user = body.string("user_id", maximumScalars: 255)
    var message = OAuth.StartAuthorizationRequest()
    message.redirectURL = body.string("redirect_url", maximumScalars: 2048)
    message.loginHint = body.optionalString("login_hint", maximumScalars: 320)
    message.expectedEmail = body.optionalString("expected_email", maximumScalars: 320)
    if UserID(user) == nil { body.fail("user_id", UserID.rule) }
    try body.finish()
    call.user = UserID(user)
    if let bound = call.caller?.boundUser, bound != call.user { throw Problem.notFound }
    let answer = try await backends.oauth.call(OAuth.startAuthorization, message, options: backends.options(for: call))
    return .json { json in
      json.object { json in
        json.member("authorization_url", answer.authorizationURL)
        json.member("expires_at", answer.expiresAt)
      }
    }
  }

  /// Google's redirect of the browser: on to the flow's page, with a handle instead of Google's code.
  func receiveCallback(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = OAuth.SealCallbackRequest()
    message.state = call.query["state"] ?? ""
    message.code = call.query["code"] ?? ""
    message.error = call.query["error"] ?? ""
    do throws(RPCError) {
      let answer = try await backends.oauth.call(OAuth.sealCallback, message, options: backends.options(for: call))
      return HTTPServerResponse(
        .seeOther, headers: [.location: answer.location, .cacheControl: "no-store", .referrerPolicy: "no-referrer"])
    } catch {
      let problem = ProblemTable.problem(for: error)
      guard problem.status == 400 else { throw problem }
      // The state leads nowhere: there is no page to send the browser to.
      return .page(
        .badRequest, title: "Connection not completed",
        """
        <h1>This connection cannot be completed</h1>
        <p>The link has expired or was used already. Go back to the application and connect again.</p>
        """)
    }
  }

  func completeAuthorization(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var call = call
    let given = try await callbackValues(call)
    var message = OAuth.CompleteAuthorizationRequest()
    message.state = given["state"] ?? ""
    message.code = given["code"] ?? ""
    message.error = given["error"] ?? ""
    if message.state.isEmpty { throw Problem.invalid("state", "is missing") }
    if message.code.isEmpty == message.error.isEmpty {
      throw Problem.invalid("code", "must be given, or error, and not both")
    }
    if let text = given["user_id"] {
      guard let user = UserID(text) else { throw Problem.invalid("user_id", UserID.rule) }
      if let bound = call.caller?.boundUser, bound != user {
        throw Problem(400, "invalid_state", "The state is unknown, expired, used, or another user's.")
      }
      call.user = user
    }
    guard call.user != nil else {
      throw Problem(400, "user_binding_required", "user_id is needed: only the platform knows who is logged in.")
    }
    let answer = try await backends.oauth.call(
      OAuth.completeAuthorization, message, options: backends.options(for: call, timeout: .seconds(45)))
    return .json { json in
      json.object { json in
        json.member("status", "success")
        json.member("user_id", answer.userID)
        json.member("email_address", answer.emailAddress)
        json.member("gmail_connected", true)
        json.member("redirect_url", answer.redirectURL)
        json.member("scopes", strings: answer.scopes)
      }
    }
  }

  /// `code`, `state`, `user_id` and `error`, from the query and from the body; a value given twice must be equal.
  private func callbackValues(_ call: EdgeCall) async throws -> [String: String] {
    let names = ["code", "state", "user_id", "error"]
    var values: [String: String] = [:]
    for name in names { values[name] = call.query[name] }
    var body: [(String, String)] = []
    switch call.contentType {
    case "application/json":
      let fields = try JSONFields(try await call.json().value)
      for name in names {
        if let value = fields.optionalString(name, maximumScalars: 8192) { body.append((name, value)) }
      }
      try fields.finish()
    case "application/x-www-form-urlencoded":
      let bytes = try await call.request.body.collect(upTo: EdgeCall.smallBody)
      let form = try Query(parsing: bytes, allowed: Set(names + Route.googleExtras))
      body = form.items.filter { names.contains($0.name) }.map { ($0.name, $0.value) }
    case nil:
      guard try await call.request.body.collect(upTo: EdgeCall.smallBody).isEmpty else {
        throw EdgeCall.unsupportedType
      }
    default: throw EdgeCall.unsupportedType
    }
    for (name, value) in body {
      if let other = values[name], !other.utf8.elementsEqual(value.utf8) {
        throw Problem.invalid(name, "is given twice, with different values")
      }
      values[name] = value
    }
    return values
  }

  func disconnectGmail(_ call: EdgeCall) async throws -> HTTPServerResponse {
    _ = try await backends.oauth.call(
      OAuth.disconnect, OAuth.DisconnectRequest(), options: backends.options(for: call, timeout: .seconds(30)))
    return HTTPServerResponse(.noContent)
  }

  func mintUserToken(_ call: EdgeCall) async throws -> HTTPServerResponse {
    guard let caller = call.caller, let user = call.user else { throw Problem.notFound }
    guard !caller.isUserToken else {
      throw Problem(403, "api_key_required", "Only an API key mints user tokens.")
    }
    let body = try JSONFields(try await call.json().value)
    let lifetime = body.optionalInteger("expires_in", in: UserToken.lifetimes) ?? UserToken.defaultLifetime
    let asked = body.has("scopes")
    let scopes = body.array("scopes", maximumCount: Scope.allCases.count) { value throws(JSONFieldProblem) in
      guard let scope = Scope(rawValue: try value.asString()) else { throw JSONFieldProblem("is not a scope") }
      return scope
    }
    try body.finish()
    let granted = asked ? Set(scopes) : caller.scopes.filter { !$0.isKeyOnly }
    if let refused = granted.first(where: { $0.isKeyOnly || !caller.may($0) }) {
      throw Problem(403, "missing_scope", "The scope \"\(refused.rawValue)\" cannot be given to the token.")
    }
    guard !granted.isEmpty else { throw Problem.invalid("scopes", "must name at least one scope") }
    let expiry = Timestamp(seconds: (Timestamp.now() + .seconds(lifetime)).seconds)
    let token = UserToken(
      tenant: caller.tenant, user: user, keyID: caller.keyID, scopes: granted, expiresAt: expiry)
    return .json(.created) { json in
      json.object { json in
        json.member("token", token.signed(with: tokenKeys))
        json.member("expires_at", expiry.rfc3339())
        json.member("scopes", strings: granted.map(\.rawValue).sorted())
      }
    }
  }
}
