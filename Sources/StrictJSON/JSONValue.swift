/// One JSON value, as RFC 8259 defines it.
///
/// Strings are valid Unicode, numbers keep their exact text, objects keep the order of their members.
package enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case number(JSONNumber)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)
}

extension JSONValue {
  /// The string, or nil for every other kind of value.
  package var stringValue: String? {
    if case .string(let string) = self { string } else { nil }
  }

  /// The integer, or nil for every other kind of value, fractions and exponents included.
  package var int64Value: Int64? {
    if case .number(let number) = self { number.int64 } else { nil }
  }

  package var doubleValue: Double? {
    if case .number(let number) = self { number.double } else { nil }
  }

  package var boolValue: Bool? {
    if case .bool(let bool) = self { bool } else { nil }
  }

  package var arrayValue: [JSONValue]? {
    if case .array(let array) = self { array } else { nil }
  }

  package var objectValue: JSONObject? {
    if case .object(let object) = self { object } else { nil }
  }

  package var isNull: Bool { self == .null }

  /// The member of an object, or nil where this is no object or has no such member.
  package subscript(name: String) -> JSONValue? { objectValue?[name] }

  /// What a person calls this kind of value, for messages.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .number(JSONNumber(value)) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(nilLiteral: ()) { self = .null }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    var object = JSONObject()
    for (name, value) in elements { object[name] = value }
    self = .object(object)
  }
}
