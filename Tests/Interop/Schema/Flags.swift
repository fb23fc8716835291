/// The flags of a command line as the official programs take them: `--name=value`, `--name value`, and `--name` alone
/// for true.
public struct Flags: Sendable {
  private var values: [String: String] = [:]

  public struct Unknown: Error, CustomStringConvertible {
    public let description: String
    public init(description: String) { self.description = description }
  }

  /// - Parameter known: the names that are taken; another one is an error, since a case that is run under a flag that
  ///   nobody reads proves nothing.
  public init(_ words: [String], known: Set<String>) throws(Unknown) {
    var index = 0
    while index < words.count {
      let word = words[index]
      index += 1
      guard word.hasPrefix("--") else { throw Unknown(description: "\(word) is no flag") }
      let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts.first ?? "")
      guard known.contains(name) else {
        throw Unknown(description: "--\(name) is not known; known are \(known.sorted().joined(separator: ", "))")
      }
      if parts.count == 2 {
        values[name] = String(parts[1])
      } else if index < words.count, !words[index].hasPrefix("--") {
        values[name] = words[index]
        index += 1
      } else {
        values[name] = "true"
      }
    }
  }

  public subscript(_ name: String) -> String? { values[name] }

  public func isOn(_ name: String) throws(Unknown) -> Bool {
    switch values[name] {
    case "true": true
    case nil, "false": false
    case let text?: throw Unknown(description: "--\(name) is true or false, not \(text)")
    }
  }

  /// Nil: it is not given.
  public func number(_ name: String, in range: ClosedRange<Int>) throws(Unknown) -> Int? {
    guard let text = values[name] else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw Unknown(description: "--\(name) is a number from \(range.lowerBound) to \(range.upperBound), not \(text)")
    }
    return number
  }
}
