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
    /// As it stands in a request.
    let method: String
    let segments: [Segment]
  }

  private enum Segment {
    case literal(Substring)
    case parameter(String)

    init(_ text: Substring) {
      self = text.hasPrefix("{") ? .parameter(String(text.dropFirst().dropLast())) : .literal(text)
    }
  }

  private let entries: [Entry]

  init() {
    entries = Route.all.map {
      Entry(
        route: $0, method: $0.method.rawValue.uppercased(), segments: Self.segments($0.path[...]).map(Segment.init))
    }
  }

  /// - Parameter path: without the query; still percent-encoded, so that an encoded slash stays inside its segment.
  func find(method: String, path: Substring) -> Result {
    let segments = Self.segments(path)
    var allowed: [String] = []
    var isPublic = true
    for entry in entries where matches(entry.segments, segments) {
      let name = entry.method
      if name == method || (name == "GET" && method == "HEAD") {
        return .found(entry.route, parameters: parameters(entry.segments, segments))
      }
      allowed.append(name)
      if entry.route.scope != nil { isPublic = false }
      if name == "GET" { allowed.append("HEAD") }
    }
    return allowed.isEmpty ? .unknown : .wrongMethod(allowed: allowed, isPublic: isPublic)
  }

  private static func segments(_ path: Substring) -> [Substring] {
    path.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map(Substring.init)
  }

  private func matches(_ pattern: [Segment], _ segments: [Substring]) -> Bool {
    guard pattern.count == segments.count else { return false }
    for (expected, given) in zip(pattern, segments) {
      switch expected {
      case .literal(let text): if !text.utf8.elementsEqual(given.utf8) { return false }
      case .parameter: if given.isEmpty { return false }
      }
    }
    return true
  }

  private func parameters(_ pattern: [Segment], _ segments: [Substring]) -> [String: Substring] {
    var parameters: [String: Substring] = [:]
    for case (.parameter(let name), let given) in zip(pattern, segments) { parameters[name] = given }
    return parameters
  }
}
