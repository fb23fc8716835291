/// A platform's own name for one of its users: 1–255 Unicode scalars without control characters. Two are equal when
/// every byte is: no normalisation.
struct UserID: Hashable, Sendable {
  let text: String

  /// What is wrong with a text that is none.
  static let rule = "must have 1 to 255 characters and no control characters"

  init?(_ text: String) {
    let scalars = text.unicodeScalars
    guard !scalars.isEmpty, scalars.count <= 255, scalars.allSatisfy(Self.isPrintable) else { return nil }
    self.text = text
  }

  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator, .surrogate: false
    default: true
    }
  }

  static func == (left: UserID, right: UserID) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

  func hash(into hasher: inout Hasher) {
    for byte in text.utf8 { hasher.combine(byte) }
  }
}
