/// A statement of SQL with `$1` … for its parameters.
///
/// Written as a literal it is prepared once a connection, and its identity is the literal's address: finding it again
/// costs a hash of one word. Text put together at run time is parsed each time.
package struct Statement: ExpressibleByStringLiteral, Sendable {
  enum Source: Sendable {
    case literal(StaticString)
    case text(String)
  }

  let source: Source

  package init(stringLiteral: StaticString) { source = .literal(stringLiteral) }

  /// For SQL that is composed of constant pieces at run time; values still go through parameters.
  package init(composed text: String) { source = .text(text) }

  package var sql: String {
    switch source {
    case .literal(let text): text.description
    case .text(let text): text
    }
  }

  /// The key of a connection's prepared statements; nil when the statement is not to be prepared.
  var identity: UInt? {
    guard case .literal(let text) = source, text.hasPointerRepresentation else { return nil }
    return UInt(bitPattern: text.utf8Start)
  }
}
