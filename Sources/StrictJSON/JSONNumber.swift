/// A JSON number by its exact text, so that no digit is lost between reading and writing.
package struct JSONNumber: Sendable, Equatable {
  /// The number as RFC 8259 spells it, for example `-12.5e+3`.
  package let lexeme: String

  /// For the parser, which has checked the grammar.
  init(checkedLexeme: String) { lexeme = checkedLexeme }

  package init(_ integer: some BinaryInteger) { lexeme = String(integer) }

  /// JSON has no word for infinity or NaN.
  package init?(_ double: Double) {
    guard double.isFinite else { return nil }
    lexeme = "\(double)"
  }

  /// The integer, or nil when it has a fraction or an exponent or does not fit.
  package var int64: Int64? { Int64(lexeme) }

  /// The nearest double, or nil when the number is too large for one.
  package var double: Double? {
    guard let double = Double(lexeme), double.isFinite else { return nil }
    return double
  }
}
