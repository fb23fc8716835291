import HTTPServer
import HTTPTypes

/// A request with its whole body, free of the connection that it came on.
struct SandboxRequest {
  let method: HTTPRequest.Method
  /// Without the query.
  let path: String
  let query: URLEncodedForm
  let fields: HTTPFields
  /// The host that the client spoke to.
  let host: String
  let body: [UInt8]

  /// Nil when the query is malformed.
  init?(
    method: HTTPRequest.Method, target: String, host: String = "localhost:8090", fields: HTTPFields = [:],
    body: [UInt8] = []
  ) {
    let parts = target.utf8.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
    guard let query = URLEncodedForm(parsing: parts.count > 1 ? Array(parts[1]) : []) else { return nil }
    self.method = method
    path = String(Substring(parts[0]))
    self.query = query
    self.fields = fields
    self.host = host
    self.body = body
  }

  /// The body as a form; nil when it is of another type or malformed.
  var form: URLEncodedForm? {
    guard MediaType(fields.value(.contentType) ?? "")?.name == "application/x-www-form-urlencoded" else { return nil }
    return URLEncodedForm(parsing: body)
  }

  /// The bearer token; nil when there is no such credential.
  var bearer: String? {
    guard let value = fields.value(.authorization) else { return nil }
    let parts = value.utf8.split(separator: UInt8(ascii: " "), maxSplits: 1)
    guard parts.count == 2, Substring(parts[0]).lowercased() == "bearer" else { return nil }
    return String(Substring(parts[1]))
  }
}

/// What the stand-in answers, and how.
struct SandboxAnswer {
  var status: Int
  var fields: HTTPFields = [:]
  var body: [UInt8] = []
  var delay = Duration.zero
  /// Nothing is answered; the connection closes.
  var closes = false

  static func json(_ status: Int, _ body: [UInt8]) -> SandboxAnswer {
    SandboxAnswer(
      status: status, fields: [.contentType: "application/json; charset=UTF-8", .cacheControl: "private"], body: body)
  }

  /// A page that may run nothing and be framed nowhere; its forms may end anywhere, since the consent goes back to the client.
  static func html(_ status: Int, _ page: String) -> SandboxAnswer {
    SandboxAnswer(
      status: status,
      fields: [
        .contentType: "text/html; charset=utf-8", .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
        .contentSecurityPolicy:
          "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
      ], body: Array(page.utf8))
  }

  static func text(_ status: Int, _ text: String) -> SandboxAnswer {
    SandboxAnswer(status: status, fields: [.contentType: "text/plain; charset=utf-8"], body: Array("\(text)\n".utf8))
  }

  static func redirect(to location: String) -> SandboxAnswer {
    SandboxAnswer(status: 302, fields: [.location: location, .cacheControl: "no-store"])
  }

  static func error(_ error: GoogleAPIError) -> SandboxAnswer {
    var answer = json(error.code, error.body)
    if error.code == 401 {
      let detail = error.reason == "required" ? "" : ", error=\"invalid_token\""
      answer.fields[.wwwAuthenticate] = "Bearer realm=\"https://accounts.google.com/\"\(detail)"
    }
    return answer
  }
}
