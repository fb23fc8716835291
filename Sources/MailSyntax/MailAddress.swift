/// A mail address as Gmail takes it (RFC 5321 §4.1.2, RFC 5322 §3.4.1): ASCII on the wire, with an optional display name.
///
/// A value of this type can stand in a header: it has no control characters, its local part is a dot-atom or a quoted
/// string, and its domain is a fully qualified name in its ASCII form (RFC 5891).
package struct MailAddress: Hashable, Sendable {
  /// RFC 5321 §4.5.3.1.1, in octets.
  package static let maximumLocalPart = 64
  /// The longest address that fits an SMTP path (RFC 3696 erratum 1690), in octets.
  package static let maximumLength = 254
  /// A name longer than any list shows, in Unicode scalars; bounds the header.
  package static let maximumDisplayName = 255

  /// In wire form: a dot-atom, or a quoted string with its quotes.
  package let localPart: String
  /// Lower-case ASCII, internationalised labels as `xn--…`.
  package let domain: String
  /// `nil` when there is none; never empty.
  package let displayName: String?

  /// `local@domain`, without the display name.
  package var specification: String { "\(localPart)@\(domain)" }

  /// What addresses are counted and compared by: Gmail, like nearly all, ignores case in the local part.
  package var key: String { specification.lowercased() }

  /// The same mailbox shown under another name.
  package func named(_ name: String?) throws(AddressError) -> MailAddress {
    MailAddress(localPart: localPart, domain: domain, displayName: try Self.checked(name))
  }

  /// Reads `email` (an address alone, or `Name <address>`) and `name`, which wins over a name inside `email`.
  package init(_ email: String, name: String? = nil) throws(AddressError) {
    var scanner = MailboxScanner(email)
    let parsed = try scanner.mailbox()
    // RFC 2047 §5 allows no encoded word here, but readers decode one: the mail would go to another address.
    guard !HeaderText.looksEncoded(parsed.localPart) else { throw .encodedLocalPart }
    let domain = try MailDomain(parsed.domain).ascii
    guard parsed.localPart.utf8.count <= Self.maximumLocalPart else { throw .localPartTooLong }
    guard parsed.localPart.utf8.count + 1 + domain.utf8.count <= Self.maximumLength else { throw .tooLong }
    self.localPart = parsed.localPart
    self.domain = domain
    let given = try Self.checked(name)
    self.displayName = if let given { given } else { try Self.checked(parsed.displayName) }
  }

  private init(localPart: String, domain: String, displayName: String?) {
    self.localPart = localPart
    self.domain = domain
    self.displayName = displayName
  }

  private static func checked(_ name: String?) throws(AddressError) -> String? {
    guard let name else { return nil }
    guard HeaderText.isSafe(name) else { throw .controlCharacter }
    let trimmed = HeaderText.trimmingSpaces(name)
    guard !trimmed.isEmpty else { return nil }
    guard trimmed.unicodeScalars.count <= maximumDisplayName else { throw .nameTooLong }
    return trimmed
  }
}

/// Why a text is not an address that Gmail takes; `description` is a sentence to show.
package enum AddressError: Error, Hashable, Sendable, CustomStringConvertible {
  case empty, noAtSign, controlCharacter, nameTooLong, tooLong, localPartTooLong
  case malformed, severalAddresses, nonASCIILocalPart, encodedLocalPart
  case addressLiteral, unqualifiedDomain, invalidDomain, domainCharacter
  /// Of an entry of the suppression list.
  case pattern

  package var description: String {
    switch self {
    case .empty: "The address is empty."
    case .noAtSign: "The address has no @ sign."
    case .controlCharacter: "Control characters and line breaks are not allowed here."
    case .nameTooLong: "The display name is longer than \(MailAddress.maximumDisplayName) characters."
    case .tooLong: "The address is longer than \(MailAddress.maximumLength) characters."
    case .localPartTooLong: "The part before the @ is longer than \(MailAddress.maximumLocalPart) characters."
    case .malformed: "This is not a valid mail address."
    case .severalAddresses: "Give one address in each place."
    case .nonASCIILocalPart: "This service cannot send to an address with non-ASCII characters before the @."
    case .encodedLocalPart: "The part before the @ must not look like encoded text (=?…?=)."
    case .addressLiteral: "Gmail cannot send to an IP address; give a domain name."
    case .unqualifiedDomain: "The domain must be a full name, such as example.com."
    case .invalidDomain: "The domain after the @ is not valid."
    case .domainCharacter:
      "The domain after the @ has a character that domain names do not have, such as a full-width letter."
    case .pattern:
      "There are no patterns; a domain alone, such as example.com, stands for all its addresses and those below."
    }
  }
}
