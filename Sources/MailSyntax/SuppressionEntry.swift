/// Whom a tenant may not write to: one address, or a domain with all that is below it. Compared as recipients are
/// counted: lower case, the domain in ASCII.
package struct SuppressionEntry: Hashable, Sendable {
  package let text: String

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
