import StrictJSON

/// An error in the shape of Google's JSON APIs: `{"error":{"code","message","errors":[{"message","domain","reason"}],"status"}}`.
struct GoogleAPIError: Error, Equatable {
  let code: Int
  let message: String
  /// The message inside `errors`, where it differs.
  var innerMessage: String?
  var domain = "global"
  let reason: String
  let status: String
  var location: (type: String, name: String)?
  /// `google.rpc.ErrorInfo.reason`, where Google adds it.
  var errorInfoReason: String?

  static func == (left: GoogleAPIError, right: GoogleAPIError) -> Bool { left.body == right.body }

  var body: [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("error") { json in
        json.object { json in
          json.member("code", code)
          json.member("message", message)
          json.member("errors") { json in
            json.array { json in
              json.object { json in
                json.member("message", innerMessage ?? message)
                json.member("domain", domain)
                json.member("reason", reason)
                if let location {
                  json.member("location", location.name)
                  json.member("locationType", location.type)
                }
              }
            }
          }
          json.member("status", status)
          if let errorInfoReason {
            json.member("details") { json in
              json.array { json in
                json.object { json in
                  json.member("@type", "type.googleapis.com/google.rpc.ErrorInfo")
                  json.member("reason", errorInfoReason)
                  json.member("domain", "googleapis.com")
                  json.member("metadata") { $0.object { $0.member("service", "gmail.googleapis.com") } }
                }
              }
            }
          }
        }
      }
    }
    return json.finish()
  }

  /// The word of google.rpc.Code that Google sends with an HTTP status.
  static func statusWord(for code: Int) -> String {
    switch code {
    case 400: "INVALID_ARGUMENT"
    case 401: "UNAUTHENTICATED"
    case 403: "PERMISSION_DENIED"
    case 404: "NOT_FOUND"
    case 409: "ABORTED"
    case 429: "RESOURCE_EXHAUSTED"
    case 499: "CANCELLED"
    case 501: "UNIMPLEMENTED"
    case 503: "UNAVAILABLE"
    case 504: "DEADLINE_EXCEEDED"
    case 400..<500: "FAILED_PRECONDITION"
    default: "INTERNAL"
    }
  }

  static let missingCredential = GoogleAPIError(
    code: 401,
    message:
      "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid "
      + "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    innerMessage: "Login Required.", reason: "required", status: "UNAUTHENTICATED",
    location: ("header", "Authorization"),
    errorInfoReason: "CREDENTIALS_MISSING")

  static let invalidCredential = GoogleAPIError(
    code: 401,
    message:
      "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
      + "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
    innerMessage: "Invalid Credentials", reason: "authError", status: "UNAUTHENTICATED",
    location: ("header", "Authorization"))

  static let insufficientScope = GoogleAPIError(
    code: 403, message: "Request had insufficient authentication scopes.", innerMessage: "Insufficient Permission",
    reason: "insufficientPermissions", status: "PERMISSION_DENIED", errorInfoReason: "ACCESS_TOKEN_SCOPE_INSUFFICIENT")

  static func delegationDenied(for address: String) -> GoogleAPIError {
    GoogleAPIError(
      code: 403, message: "Delegation denied for \(address)", reason: "forbidden", status: "PERMISSION_DENIED")
  }

  static func invalidArgument(_ message: String) -> GoogleAPIError {
    GoogleAPIError(code: 400, message: message, reason: "invalidArgument", status: "INVALID_ARGUMENT")
  }

  static let parseError = GoogleAPIError(
    code: 400, message: "Parse Error", domain: "global", reason: "parseError", status: "INVALID_ARGUMENT")

  static let notFound = GoogleAPIError(
    code: 404, message: "Requested entity was not found.", reason: "notFound", status: "NOT_FOUND")

  static let uploadTooLarge = GoogleAPIError(
    code: 413, message: "The request is too large.", reason: "uploadTooLarge", status: "FAILED_PRECONDITION")
}
