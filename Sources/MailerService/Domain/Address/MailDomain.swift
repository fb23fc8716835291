@_spi(_Unicode) import Swift

/// A domain name in the form that DNS and SMTP carry: lower-case letters, digits and hyphens (RFC 5890 A-labels).
struct MailDomain: Hashable, Sendable {
  /// RFC 1035 §2.3.4, in octets.
  static let maximumLength = 253
  static let maximumLabel = 63

  let ascii: String

  /// Reads a name typed in any script. Non-ASCII labels are lower-cased, brought to NFC and turned into punycode.
  init(_ text: String) throws(AddressError) {
    guard !text.isEmpty else { throw .invalidDomain }
    guard !text.hasPrefix("[") else { throw .addressLiteral }
    var labels: [String] = []
    for label in Self.split(text) { labels.append(try Self.asciiLabel(label)) }
    let name = labels.joined(separator: ".")
    guard name.utf8.count <= Self.maximumLength else { throw .invalidDomain }
    guard labels.count >= 2 else { throw .unqualifiedDomain }
    // A name whose last label is a number is an IPv4 address or nothing (RFC 3696 §2).
    guard let last = labels.last, !last.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else {
      throw .addressLiteral
    }
    ascii = name
  }

  /// The ideographic full stops separate labels too (RFC 3490 §3.1): input methods type them.
  private static func split(_ text: String) -> [Substring.UnicodeScalarView] {
    let dots: Set<Unicode.Scalar> = [".", "\u{3002}", "\u{FF0E}", "\u{FF61}"]
    return text.unicodeScalars.split(omittingEmptySubsequences: false, whereSeparator: dots.contains)
      .map { Substring($0).unicodeScalars }
  }

  private static func asciiLabel(_ label: Substring.UnicodeScalarView) throws(AddressError) -> String {
    guard !label.isEmpty else { throw .invalidDomain }
    let lowered = String(label).lowercased()
    let ascii: String
    if lowered.unicodeScalars.allSatisfy(\.isASCII) {
      ascii = lowered
    } else {
      let normalised = String(String.UnicodeScalarView(lowered._nfc))
      guard normalised.unicodeScalars.allSatisfy(isAllowed) else { throw .invalidDomain }
      guard let encoded = Punycode.encode(normalised) else { throw .invalidDomain }
      ascii = "xn--" + encoded
    }
    guard ascii.utf8.count <= maximumLabel, ascii.first != "-", ascii.last != "-" else { throw .invalidDomain }
    for byte in ascii.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): continue
      default: throw .invalidDomain
      }
    }
    return ascii
  }

  /// Letters, marks and digits (RFC 5892 §2.1), besides what ASCII labels have.
  private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return true }
    switch scalar.properties.generalCategory {
    case .lowercaseLetter, .otherLetter, .modifierLetter, .nonspacingMark, .spacingMark, .decimalNumber: return true
    // The middle dot, the Hebrew and Katakana points and the joiners that RFC 5892 §2.6 allows in context.
    default: return scalar.value == 0xB7 || scalar.value == 0x30FB || scalar.value == 0x200C || scalar.value == 0x200D
    }
  }
}
