import HTTPServer
import HTTPTypes
import StrictJSON

/// An error answer, `application/problem+json` (RFC 9457). Holds nothing internal, no secret, no third person's address.
struct Problem: Error, Sendable, Equatable {
  var status: Int
  /// Stable, snake_case.
  var code: String
  /// One sentence for a person.
  var error: String
  var fields: [JSONFieldErrors.Item] = []
  /// Seconds; also the `Retry-After` header.
  var retryAfter: Int?
  /// A kept mail that failed: its id and its word.
  var message: FailedMessage?
  var headers: HTTPFields = [:]

  struct FailedMessage: Sendable, Equatable {
    var id: String
    var status: String
    var isReplay = false
  }

  init(_ status: Int, _ code: String, _ error: String, retryAfter: Int? = nil) {
    self.status = status
    self.code = code
    self.error = error
    self.retryAfter = retryAfter
  }

  static let notFound = Problem(404, "not_found", "There is nothing here.")
  static let unavailable = Problem(503, "unavailable", "The service cannot answer now; try again soon.", retryAfter: 1)
  static let notAcceptable = Problem(406, "not_acceptable", "The answer cannot be given in a form that is accepted.")

  static func invalid(_ field: String, _ message: String) -> Problem {
    invalid([.init(field: field, message: message)])
  }

  static func invalid(_ items: [JSONFieldErrors.Item]) -> Problem {
    var problem = Problem(400, "invalid_request", "The request has invalid fields.")
    problem.fields = items
    return problem
  }

  static func malformed(_ sentence: String) -> Problem { Problem(400, "invalid_request", sentence) }

  /// A `Retry-After` on every answer that asks to wait.
  static func tooMany(_ code: String, _ sentence: String, retryAfter: Int) -> Problem {
    Problem(429, code, sentence, retryAfter: max(1, retryAfter))
  }

  /// Tells the limit that is reached, as the RFC draft ietf-httpapi-ratelimit-headers has it.
  ///
  /// - Parameter window: seconds that the quota is for; nil: it is of no time.
  mutating func tellLimit(_ policy: String, quota: Int64, window: Int64? = nil) {
    headers[.rateLimitPolicy] = "\"\(policy)\";q=\(quota)" + (window.map { ";w=\($0)" } ?? "")
    headers[.rateLimit] = "\"\(policy)\";r=0;t=\(retryAfter ?? 1)"
  }

  func response(requestID: String, path: String) -> HTTPServerResponse {
    let status = HTTPResponse.Status(code: self.status)
    let title = Self.titles[self.status] ?? "Error"
    var json = JSONWriter()
    json.object { json in
      json.member("type", "urn:emailmcp:problem:\(code)")
      json.member("title", title)
      json.member("status", self.status)
      json.member("detail", error)
      json.member("instance", path)
      json.member("code", code)
      json.member("error", error)
      json.member("request_id", requestID)
      if !fields.isEmpty {
        json.member("errors") { json in
          json.array(of: fields) { json, item in
            json.object { json in
              json.member("field", item.field)
              json.member("message", item.message)
            }
          }
        }
      }
      if let message {
        json.member("message_status", message.status)
        json.member("id", message.id)
      }
    }
    var headers = self.headers
    headers[.contentType] = "application/problem+json"
    if let retryAfter { headers[.retryAfter] = String(retryAfter) }
    if message?.isReplay == true { headers[.idempotencyReplayed] = "true" }
    return HTTPServerResponse(
      HTTPResponse.Status(code: status.code, reasonPhrase: title), headers: headers, body: json.finish())
  }

  static let titles: [Int: String] = [
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large", 414: "URI Too Long",
    415: "Unsupported Media Type", 417: "Expectation Failed", 422: "Unprocessable Content", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
  ]
}

extension HTTPField.Name {
  static let requestID = Self("X-Request-Id")!
  static let retryAfter = Self("Retry-After")!
  static let idempotencyKey = Self("Idempotency-Key")!
  static let idempotencyReplayed = Self("Idempotency-Replayed")!
  static let prefer = Self("Prefer")!
  static let preferenceApplied = Self("Preference-Applied")!
  static let rateLimit = Self("RateLimit")!
  static let rateLimitPolicy = Self("RateLimit-Policy")!
  static let traceparent = Self("traceparent")!
  static let tracestate = Self("tracestate")!
}
