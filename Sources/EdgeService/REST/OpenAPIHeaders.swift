import StrictJSON

/// The headers of answers for the OpenAPI document: what a caller acts on.
enum OpenAPIHeaders {
  /// Beside `X-Request-Id`, which all answers have.
  static func names(_ operation: Operation, _ status: String) -> [String] {
    switch (operation, status) {
    case (.sendMessage, "200"): ["Idempotency-Replayed"]
    case (.sendMessage, "202"): ["Location", "Preference-Applied", "Idempotency-Replayed"]
    case (.getProfile, _): ["ETag"]
    case (.receiveCallback, "303"): ["Location"]
    default: []
    }
  }

  static let ofProblems = [
    "Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate", "Allow", "Idempotency-Replayed",
  ]

  static func object(_ names: [String]) -> JSONValue {
    var headers = JSONObject()
    for name in ["X-Request-Id"] + names { headers[name] = ["$ref": .string("#/components/headers/\(name)")] }
    return .object(headers)
  }

  static let components: JSONValue = {
    var headers = JSONObject()
    for (name, type, description) in [
      ("X-Request-Id", "string", "The caller's own where it is 1 to 64 of A-Z a-z 0-9 . _ -, else a new one."),
      ("Location", "string", "Where the message is to be read; of a redirect, the next page."),
      ("Preference-Applied", "string", "respond-async, where that was asked for."),
      ("Idempotency-Replayed", "string", "true, where this is the first answer to the Idempotency-Key again."),
      ("ETag", "string", "For If-None-Match."),
      ("Retry-After", "integer", "In so many seconds it may be tried again."),
      ("RateLimit-Policy", "string", "The limit that is reached, as draft-ietf-httpapi-ratelimit-headers has it."),
      ("RateLimit", "string", "What is left of that limit, and in how many seconds there is more."),
      ("WWW-Authenticate", "string", "With 401: Bearer."), ("Allow", "string", "With 405: the methods there are."),
    ] {
      headers[name] = ["description": .string(description), "schema": ["type": .string(type)]]
    }
    return .object(headers)
  }()
}
