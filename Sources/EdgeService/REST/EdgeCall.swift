import HTTPServer
import HTTPTypes
import StrictJSON

/// One request on its way through the edge.
struct EdgeCall {
  let request: HTTPServerRequest
  let route: Route
  /// Nil where the route needs no credential.
  let caller: Caller?
  /// The user whom the call is about: of the path, of the token or of the body.
  var user: UserID?
  var query = Query()
  var parameters: [String: String] = [:]
  /// The path as sent, without the query.
  let path: String

  /// Sizes of bodies (the mail's: 25 MiB of MIME as base64 in JSON).
  static let mailBody = 36 << 20
  static let smallBody = 64 << 10

  /// The body as JSON, and its bytes.
  ///
  /// - Throws: `Problem` 415 for another type, 400 for bad JSON; `HTTPBodyError`.
  func json(upTo limit: Int = smallBody) async throws -> (value: JSONValue, bytes: [UInt8]) {
    let bytes = try await jsonBytes(upTo: limit)
    return (try Self.parse(bytes, upTo: limit), bytes)
  }

  /// The body, which says that it is JSON.
  func jsonBytes(upTo limit: Int) async throws -> [UInt8] {
    guard contentType == "application/json" else { throw Self.unsupportedType }
    return try await request.body.collect(upTo: limit)
  }

  static func parse(_ bytes: [UInt8], upTo limit: Int) throws(Problem) -> JSONValue {
    do throws(JSONParseError) {
      return try JSONValue(parsing: bytes, limits: JSONLimits(maximumBytes: limit))
    } catch {
      throw Problem.malformed("The body is not acceptable JSON: \(error).")
    }
  }

  /// A query parameter of decimal digits alone; nil when it is not given.
  ///
  /// - Parameter unit: follows "a whole number" in the error's sentence.
  func wholeNumber(_ name: String, in range: ClosedRange<Int>, of unit: String = "") throws(Problem) -> Int? {
    guard let text = query[name] else { return nil }
    guard let number = Int(text), range.contains(number), text.utf8.allSatisfy({ 48...57 ~= $0 }) else {
      throw .invalid(name, "must be a whole number\(unit) from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// The media type of the body, without parameters; nil without a Content-Type.
  var contentType: String? {
    request.head.headerFields.value(.contentType).map { value in
      let type = value.utf8.prefix { $0 != UInt8(ascii: ";") }
        .filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }
      return String(decoding: type, as: UTF8.self).lowercased()
    }
  }

  static let unsupportedType = Problem(415, "unsupported_media_type", "The body must be application/json.")

  /// RFC 9110 section 15.5.16 has the answer say what would be taken.
  static let encodedBody: Problem = {
    var problem = Problem(415, "unsupported_media_type", "The body must not be compressed.")
    problem.headers[.acceptEncoding] = "identity"
    return problem
  }()

  /// Whether the client takes an answer of this type (RFC 9110 section 12.5.1); quality only matters where it is zero.
  func accepts(_ type: String) -> Bool {
    let values = request.head.headerFields[values: .accept]
    guard !values.isEmpty else { return true }
    var isAccepted = false
    for range in values.joined(separator: ",").split(separator: ",") {
      let parts = range.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
      guard let media = parts.first else { continue }
      let family = type.prefix { $0 != "/" } + "/*"
      guard media == type || media == "*/*" || media == family else { continue }
      let isRefused = parts.dropFirst().contains { $0 == "q=0" || $0 == "q=0.0" || $0 == "q=0.00" || $0 == "q=0.000" }
      if media == type { return !isRefused }
      isAccepted = isAccepted || !isRefused
    }
    return isAccepted
  }
}
