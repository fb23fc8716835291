/// Everything that is wrong with the environment at once; no secret stands in it.
package struct SettingsError: Error, Sendable, Equatable, CustomStringConvertible {
  package struct Problem: Sendable, Equatable {
    package let name: String
    /// Completes the sentence that begins with the name.
    package let message: String

    package init(_ name: String, _ message: String) {
      self.name = name
      self.message = message
    }
  }

  package let problems: [Problem]

  package var description: String { problems.map { "\($0.name) \($0.message)" }.joined(separator: "\n") }
}
