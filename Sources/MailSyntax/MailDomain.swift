@_spi(_Unicode) import Swift

/// A domain name in the form that DNS and SMTP carry: lower-case letters, digits and hyphens (RFC 5890 A-labels).
package struct MailDomain: Hashable, Sendable {
  /// RFC 1035 §2.3.4, in octets.
  static let maximumLength = 253
  static let maximumLabel = 63

  package let ascii: String

  /// Reads a name typed in any script. Non-ASCII labels are lower-cased, brought to NFC and turned into punycode. What
  /// UTS 46 maps to something else besides (full-width letters, ligatures) is refused rather than guessed at.
  package init(_ text: String) throws(AddressError) {
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
    text.unicodeScalars.split(omittingEmptySubsequences: false) { scalar in
      switch scalar {
      case ".", "\u{3002}", "\u{FF0E}", "\u{FF61}": true
      default: false
      }
    }.map { Substring($0).unicodeScalars }
  }

  private static func asciiLabel(_ label: Substring.UnicodeScalarView) throws(AddressError) -> String {
    guard !label.isEmpty else { throw .invalidDomain }
    let lowered = String(label).lowercased()
    let ascii: String
    if lowered.unicodeScalars.allSatisfy(\.isASCII) {
      ascii = lowered
    } else {
      let normalised = String(String.UnicodeScalarView(lowered._nfc))
      let scalars = Array(normalised.unicodeScalars)
      guard !isMark(scalars[0]), scalars.indices.allSatisfy({ isAllowed(scalars, at: $0) }) else {
        throw .domainCharacter
      }
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

  /// Letters, marks and digits (RFC 5892 §2.1) that are what a name is mapped to, besides what ASCII labels have.
  private static func isAllowed(_ label: [Unicode.Scalar], at index: Int) -> Bool {
    let scalar = label[index]
    if scalar.isASCII { return true }
    let before = index > 0 ? label[index - 1] : nil
    let after = index + 1 < label.count ? label[index + 1] : nil
    switch scalar {
    // Sharp s and final sigma are letters of their own since RFC 5891, whatever case folding makes of them.
    case "ß", "ς": return true
    // In context alone (RFC 5892, appendix A): the middle dot between two l, the Katakana one among Japanese, the joiners
    // after a virama, the non-joiner also between letters that would join.
    case "\u{B7}": return before == "l" && after == "l"
    case "\u{30FB}": return label.contains(where: isJapanese)
    case "\u{200D}": return before.map(isVirama) ?? false
    case "\u{200C}":
      guard let before, let after else { return false }
      return isVirama(before) || (joinsNext(before) && isArabicLetter(after))
    default: break
    }
    guard !scalar.properties.changesWhenNFKCCaseFolded else { return false }
    switch scalar.properties.generalCategory {
    case .lowercaseLetter, .otherLetter, .modifierLetter, .nonspacingMark, .spacingMark, .decimalNumber: return true
    default: return false
    }
  }

  private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    [.nonspacingMark, .spacingMark, .enclosingMark].contains(scalar.properties.generalCategory)
  }

  private static func isVirama(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.canonicalCombiningClass == .virama
  }

  private static func isJapanese(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x3005...0x3007, 0x3041...0x3096, 0x30A1...0x30FA, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0x20000...0x323AF: true
    default: false
    }
  }

  private static func isArabicLetter(_ scalar: Unicode.Scalar) -> Bool {
    0x0620...0x06FF ~= scalar.value && scalar.properties.generalCategory == .otherLetter && scalar != "\u{621}"
  }

  /// Arabic letters that join on both sides: all but those that join the one before alone (Joining_Type R).
  private static func joinsNext(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x0622...0x0625, 0x0627, 0x0629, 0x062F...0x0632, 0x0648, 0x0671...0x0677, 0x0688...0x0699, 0x06C0,
      0x06C3...0x06CB, 0x06CD, 0x06CF, 0x06D2...0x06D5, 0x06EE, 0x06EF:
      false
    default: isArabicLetter(scalar)
    }
  }
}
