/// Everything that is wrong with the fields of a request, for `errors` of a problem+json answer.
package struct JSONFieldErrors: Error, Sendable, Equatable {
  package struct Item: Sendable, Equatable {
    /// The path from the top: `to[3].email`; empty for the body itself.
    package let field: String
    package let message: String

    package init(field: String, message: String) {
      self.field = field
      self.message = message
    }
  }

  package let items: [Item]

  package init(_ items: [Item]) { self.items = items }
}

/// A typed reader of one object's members that collects what is wrong instead of stopping at the first error.
///
/// Ask for each member that is allowed, then call ``finish()`` at the top: it throws all errors, unknown members
/// included. A value read before that is a placeholder when its member was wrong, so use none before `finish()`.
///
/// ```swift
/// let fields = try JSONFields(JSONValue(parsing: body))
/// let user = fields.string("user_id")
/// let hint = fields.optionalString("login_hint", maximumScalars: 320)
/// try fields.finish()
/// ```
package final class JSONFields {
  /// What all readers of one body share.
  private final class Findings {
    var items: [JSONFieldErrors.Item] = []
    /// More than this many errors help nobody.
    let limit = 50
  }

  private let object: JSONObject
  private let path: String
  private let findings: Findings
  private var known: [String] = []  // few: a set costs more
  private var children: [JSONFields] = []

  /// Throws when the body is not an object.
  package init(_ value: JSONValue) throws(JSONFieldErrors) {
    guard let object = value.objectValue else {
      throw JSONFieldErrors([.init(field: "", message: "must be an object, not \(value.kind)")])
    }
    self.object = object
    path = ""
    findings = Findings()
  }

  private init(_ object: JSONObject, path: String, parent: JSONFields) {
    self.object = object
    self.path = path
    findings = parent.findings
  }

  /// Whether the member is there and not null.
  package func has(_ name: String) -> Bool { !(object[name]?.isNull ?? true) }

  /// Notes an error at a member; only the first one of a field is kept.
  package func fail(_ name: String, _ message: String) { failAt(path(to: name), message) }

  /// Notes an error at a full path such as `to[2]`.
  package func failAt(_ path: String, _ message: String) {
    guard findings.items.count < findings.limit, !findings.items.contains(where: { $0.field == path }) else { return }
    findings.items.append(.init(field: path, message: message))
  }

  /// Throws every error of the body, with one for each member that nobody asked for.
  package func finish() throws(JSONFieldErrors) {
    noteUnknown()
    guard findings.items.isEmpty else { throw JSONFieldErrors(findings.items) }
  }

  private func noteUnknown() {
    for member in object.members where !known.contains(where: member.name.hasSameBytes) {
      fail(member.name, "is not a known field")
    }
    for child in children { child.noteUnknown() }
  }

  // MARK: Values

  /// A member as it is; nil when it is missing or null.
  package func optional(_ name: String) -> JSONValue? {
    known.append(name)
    guard let value = object[name], !value.isNull else { return nil }
    return value
  }

  /// A member as it is; a missing one is an error.
  package func required(_ name: String) -> JSONValue? {
    let value = optional(name)
    if value == nil { fail(name, "is required") }
    return value
  }

  /// A member through the caller's own parser, whose thrown ``JSONFieldProblem`` becomes the field's error.
  package func optional<T>(_ name: String, _ parse: (JSONValue) throws(JSONFieldProblem) -> T) -> T? {
    optional(name).flatMap { parsed($0, at: path(to: name), parse) }
  }

  package func required<T>(_ name: String, _ parse: (JSONValue) throws(JSONFieldProblem) -> T) -> T? {
    required(name).flatMap { parsed($0, at: path(to: name), parse) }
  }

  package func string(_ name: String, maximumScalars: Int = 65_536) -> String {
    required(name).flatMap { string($0, at: path(to: name), maximumScalars) } ?? ""
  }

  package func optionalString(_ name: String, maximumScalars: Int = 65_536) -> String? {
    optional(name).flatMap { string($0, at: path(to: name), maximumScalars) }
  }

  /// A string without a limit of its own, for members such as an attachment's content; the body's size limits it.
  package func optionalLargeString(_ name: String) -> String? {
    optional(name) { value throws(JSONFieldProblem) in try value.asString() }
  }

  package func optionalInteger(_ name: String, in range: ClosedRange<Int64> = .min ... .max) -> Int64? {
    optional(name) { value throws(JSONFieldProblem) in
      guard let integer = value.int64Value else { throw JSONFieldProblem("must be an integer") }
      guard range.contains(integer) else {
        throw JSONFieldProblem("must be from \(range.lowerBound) to \(range.upperBound)")
      }
      return integer
    }
  }

  package func optionalBool(_ name: String) -> Bool? {
    optional(name) { value throws(JSONFieldProblem) in
      guard let bool = value.boolValue else { throw JSONFieldProblem("must be true or false, not \(value.kind)") }
      return bool
    }
  }

  /// Each element through a parser, with its index in the path; empty when the member is missing.
  package func array<T>(
    _ name: String, maximumCount: Int, _ parse: (JSONValue) throws(JSONFieldProblem) -> T
  ) -> [T] {
    elements(name, maximumCount).enumerated().compactMap { index, element in
      parsed(element, at: "\(path(to: name))[\(index)]", parse)
    }
  }

  /// Each element as an object with a reader of its own; empty when the member is missing.
  package func objects<T>(_ name: String, maximumCount: Int, _ read: (JSONFields) -> T?) -> [T] {
    elements(name, maximumCount).enumerated().compactMap { index, element in
      fields(element, at: "\(path(to: name))[\(index)]").flatMap(read)
    }
  }

  /// A reader of an inner object; nil when the member is missing or no object.
  package func optionalObject(_ name: String) -> JSONFields? {
    optional(name).flatMap { fields($0, at: path(to: name)) }
  }

  /// The elements of an array with their paths, for members whose elements come in several shapes.
  package func elements(_ name: String, maximumCount: Int) -> [(path: String, value: JSONValue)] {
    elements(name, maximumCount).enumerated().map { ("\(path(to: name))[\($0)]", $1) }
  }

  /// A reader of an object found through ``elements(_:maximumCount:)``.
  package func fields(_ value: JSONValue, at path: String) -> JSONFields? {
    guard let object = value.objectValue else {
      failAt(path, "must be an object, not \(value.kind)")
      return nil
    }
    let child = JSONFields(object, path: path, parent: self)
    children.append(child)
    return child
  }

  /// An object of strings, such as `metadata`, in the order given.
  package func strings(_ name: String, maximumCount: Int, maximumScalars: Int) -> [(name: String, value: String)] {
    guard let inner = optionalObject(name) else { return [] }
    if inner.object.count > maximumCount { fail(name, "must have at most \(maximumCount) members") }
    return inner.object.members.prefix(maximumCount + 1).map {
      ($0.name, inner.string($0.name, maximumScalars: maximumScalars))
    }
  }

  // MARK: Pieces

  package func path(to name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

  private func elements(_ name: String, _ maximumCount: Int) -> [JSONValue] {
    guard let value = optional(name) else { return [] }
    guard let elements = value.arrayValue else {
      fail(name, "must be an array, not \(value.kind)")
      return []
    }
    guard elements.count <= maximumCount else {
      fail(name, "must have at most \(maximumCount) elements")
      return []
    }
    return elements
  }

  private func string(_ value: JSONValue, at path: String, _ maximumScalars: Int) -> String? {
    parsed(value, at: path) { value throws(JSONFieldProblem) in
      let string = try value.asString()
      guard string.utf8.count <= maximumScalars || string.unicodeScalars.count <= maximumScalars else {
        throw JSONFieldProblem("must have at most \(maximumScalars) characters")
      }
      return string
    }
  }

  private func parsed<T>(_ value: JSONValue, at path: String, _ parse: (JSONValue) throws(JSONFieldProblem) -> T) -> T?
  {
    do throws(JSONFieldProblem) {
      return try parse(value)
    } catch {
      failAt(path, error.message)
      return nil
    }
  }
}

/// One sentence about one field, completing "`field` …": "must be an integer".
package struct JSONFieldProblem: Error, Sendable, Equatable {
  package let message: String

  package init(_ message: String) { self.message = message }
}

extension JSONValue {
  package func asString() throws(JSONFieldProblem) -> String {
    guard case .string(let string) = self else { throw JSONFieldProblem("must be a string, not \(kind)") }
    return string
  }
}
