/// Why a text is not acceptable JSON, and where.
package struct JSONParseError: Error, Sendable, Equatable, CustomStringConvertible {
  package struct Reason: Sendable, Hashable {
    /// A sentence that shows nothing of the text itself.
    package let message: String

    package static let unexpectedEnd = Reason(message: "the text ends too early")
    package static let unexpectedByte = Reason(message: "a character is not allowed here")
    package static let trailingBytes = Reason(message: "there is more after the value")
    package static let badNumber = Reason(message: "a number is malformed")
    package static let badEscape = Reason(message: "an escape in a string is malformed")
    package static let loneSurrogate = Reason(message: "a surrogate stands alone in a string")
    package static let controlCharacter = Reason(message: "a control character stands unescaped in a string")
    package static let badUTF8 = Reason(message: "the text is not UTF-8")
    package static let duplicateMember = Reason(message: "a member of an object is given twice")
    package static let tooLarge = Reason(message: "the text is too large")
    package static let tooDeep = Reason(message: "arrays and objects are nested too deeply")
    package static let tooManyValues = Reason(message: "the text holds too many values")
  }

  package let reason: Reason
  /// Bytes before the place of the error.
  package let offset: Int

  package var description: String { "\(reason.message) (at byte \(offset))" }
}
