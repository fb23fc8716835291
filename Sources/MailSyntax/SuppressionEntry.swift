/// Whom a tenant may not write to: one address, or a domain with all that is below it. Compared as recipients are
/// counted: lower case, the domain in ASCII.
package struct SuppressionEntry: Hashable, Sendable {
  package let text: String

  /// What is put on the list by hand. `*@example.com` is an address by its syntax, and nobody's: on the list it would hold
  /// back no mail, and whoever writes it means the domain.
  package init(toSuppress text: String) throws(AddressError) {
    let trimmed = HeaderText.trimmingSpaces(text)
    guard !trimmed.hasPrefix("*"), !trimmed.hasPrefix("@") else { throw .pattern }
    try self.init(trimmed)
  }

  package init(_ text: String) throws(AddressError) {
    let trimmed = HeaderText.trimmingSpaces(text)
    if trimmed.utf8.contains(UInt8(ascii: "@")) {
      let address = try MailAddress(trimmed)
      // `Name <address>` is no entry: what is listed must be what was given.
      guard address.displayName == nil else { throw .malformed }
      self.text = address.key
    } else {
      self.text = try MailDomain(trimmed).ascii
    }
  }
}
