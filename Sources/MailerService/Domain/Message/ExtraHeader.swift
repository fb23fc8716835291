import MailSyntax

/// A header field that a sender may add: its own `X-…`, and those of mailing lists and threads.
struct ExtraHeader: Hashable, Sendable {
  enum Form: Sendable {
    /// Free text (RFC 5322 §2.2.1): encoded where it is not ASCII.
    case text
    /// Message ids in angle brackets, parted by spaces (RFC 5322 §3.6.4).
    case messageIDs
    /// Structured ASCII that no encoded-word may touch (RFC 2369, RFC 8058, RFC 3834).
    case structured
  }

  let name: String
  let value: String
  let form: Form

  /// Whether it may stand only once; of `X-…` there may be several.
  var isSingular: Bool { !name.lowercased().hasPrefix("x-") }

  private static let known: [String: Form] = [
    "references": .messageIDs, "in-reply-to": .messageIDs,
    "list-unsubscribe": .structured, "list-unsubscribe-post": .structured, "list-help": .structured,
    "list-subscribe": .structured, "list-post": .structured, "list-owner": .structured, "list-archive": .structured,
    "list-id": .structured, "auto-submitted": .structured, "precedence": .structured, "importance": .structured,
    "priority": .structured, "sensitivity": .structured, "feedback-id": .structured,
    "comments": .text, "keywords": .text, "organization": .text,
  ]

  init(name: String, value: String) throws(FieldViolation) {
    let isName =
      !name.isEmpty && name.utf8.count <= MessageLimits.headerName
      && name.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: ":") }
    guard isName else { throw FieldViolation(field: "headers", message: "A header name is not valid.") }
    // Safe to repeat: it is a plain ASCII token by now.
    let field = "headers.\(name)"
    let lowered = name.lowercased()
    guard let form = Self.known[lowered] ?? (lowered.hasPrefix("x-") && lowered.utf8.count > 2 ? .text : nil) else {
      throw FieldViolation(field: field, message: "This header cannot be set.")
    }
    guard HeaderText.isSafe(value) else {
      throw FieldViolation(field: field, message: "Control characters and line breaks are not allowed here.")
    }
    let trimmed = HeaderText.trimmingSpaces(value)
    guard !trimmed.isEmpty, trimmed.utf8.count <= MessageLimits.headerValue else {
      throw FieldViolation(field: field, message: "A value has 1 to \(MessageLimits.headerValue) bytes.")
    }
    switch form {
    case .text: break
    case .messageIDs:
      guard trimmed.split(separator: " ").allSatisfy(Self.isMessageID) else {
        throw FieldViolation(field: field, message: "Give message ids such as <id@example.com>, parted by spaces.")
      }
    case .structured:
      let wordsFit = trimmed.split(separator: " ").allSatisfy { $0.utf8.count <= 900 }
      guard HeaderText.isPrintableASCII(trimmed), wordsFit, !HeaderText.looksEncoded(trimmed) else {
        throw FieldViolation(field: field, message: "Only printable ASCII is allowed here.")
      }
    }
    self.name = name
    self.value = trimmed
    self.form = form
  }

  private static func isMessageID(_ word: Substring) -> Bool {
    // What looks like an encoded-word may stand there, but some parsers decode it.
    guard word.first == "<", word.last == ">", (5...900).contains(word.utf8.count), !HeaderText.looksEncoded(word)
    else {
      return false
    }
    let inner = word.dropFirst().dropLast()
    let halves = inner.split(separator: "@", omittingEmptySubsequences: false)
    return halves.count == 2
      && halves.allSatisfy { half in
        !half.isEmpty
          && half.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">") }
      }
  }
}
