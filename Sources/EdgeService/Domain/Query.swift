import TLSSession

/// The parameters of a query string or a form, each at most once; percent-decoded, `+` is a blank.
struct Query: Sendable {
  private(set) var items: [(name: String, value: String)] = []

  /// What is wrong with a query.
  struct Problem: Error, Equatable {
    let field: String
    let message: String
  }

  init() {}

  /// - Parameter allowed: the names that may stand there.
  init(parsing text: some Collection<UInt8>, allowed: Set<String>) throws(Problem) {
    for pair in text.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: true) {
      let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = PercentText.decode(parts[0], plusIsBlank: true),
        let value = parts.count > 1 ? PercentText.decode(parts[1], plusIsBlank: true) : ""
      else { throw Problem(field: "", message: "the query is not percent-encoded UTF-8") }
      guard allowed.contains(where: { $0.utf8.elementsEqual(name.utf8) }) else {
        throw Problem(field: String(name.unicodeScalars.prefix(64)), message: "is not a parameter of this route")
      }
      guard self[name] == nil else { throw Problem(field: name, message: "is given twice") }
      items.append((name, value))
    }
  }

  subscript(name: String) -> String? { items.first { $0.name == name }?.value }
}
