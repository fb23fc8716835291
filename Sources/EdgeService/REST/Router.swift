/// Finds the route of a request. Built once; a value.
struct Router: Sendable {
  enum Result {
    case found(Route, parameters: [String: Substring])
    /// The path exists, the method does not.
    /// `isPublic` when nothing at this path needs a credential.
    case wrongMethod(allowed: [String], isPublic: Bool)
    case unknown
  }

  private struct Entry {
    let route: Route
    let segments: [Substring]
  }

  private let entries: [Entry]

  init(_ routes: [Route] = Route.all) {
    entries = routes.map {
      Entry(route: $0, segments: $0.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false))
    }
  }

  /// - Parameter path: without the query; still percent-encoded, so that an encoded slash stays inside its segment.
  func find(method: String, path: Substring) -> Result {
    let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    var allowed: [String] = []
    var isPublic = true
    for entry in entries where matches(entry.segments, segments) {
      let name = entry.route.method.rawValue.uppercased()
      if name == method || (name == "GET" && method == "HEAD") {
        return .found(entry.route, parameters: parameters(entry.segments, segments))
      }
      allowed.append(name)
      if entry.route.scope != nil { isPublic = false }
      if name == "GET" { allowed.append("HEAD") }
    }
    return allowed.isEmpty ? .unknown : .wrongMethod(allowed: allowed, isPublic: isPublic)
  }

  private func matches(_ pattern: [Substring], _ segments: [Substring]) -> Bool {
    guard pattern.count == segments.count else { return false }
    for (expected, given) in zip(pattern, segments) {
      if expected.hasPrefix("{") ? given.isEmpty : !expected.utf8.elementsEqual(given.utf8) { return false }
    }
    return true
  }

  private func parameters(_ pattern: [Substring], _ segments: [Substring]) -> [String: Substring] {
    var parameters: [String: Substring] = [:]
    for (expected, given) in zip(pattern, segments) where expected.hasPrefix("{") {
      parameters[String(expected.dropFirst().dropLast())] = given
    }
    return parameters
  }
}
