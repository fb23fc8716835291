/// Why an entry stands on a suppression list, for people to read.
package struct SuppressionNote: Hashable, Sendable {
  /// In Unicode scalars, as Postgres counts; the table holds notes to the same.
  package static let maximumLength = 255
  /// A sentence to show to who gave another.
  package static let rule = "A note has at most \(maximumLength) characters and no control characters."

  /// `nil` when there is none; never empty.
  package let text: String?

  package init?(_ text: String) {
    guard text.unicodeScalars.count <= Self.maximumLength, HeaderText.isSafe(text) else { return nil }
    self.text = text.isEmpty ? nil : text
  }
}
