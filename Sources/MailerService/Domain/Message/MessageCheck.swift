import CivilTime
import MailSyntax

/// Applies the rules field by field and collects what is wrong, so that a sender mends everything at once.
struct MessageCheck {
  private(set) var violations: [FieldViolation] = []

  mutating func refuse(_ field: String, _ message: String) {
    guard violations.count < MessageLimits.violations else { return }
    violations.append(FieldViolation(field: field, message: message))
  }

  // MARK: Addresses

  mutating func addresses(_ list: [MessageDraft.Address], field: String) -> [MailAddress] {
    guard list.count <= MessageLimits.recipients else { return [] }
    var result: [MailAddress] = []
    result.reserveCapacity(list.count)
    for (index, entry) in list.enumerated() {
      do throws(AddressError) {
        result.append(try MailAddress(entry.email, name: entry.name))
      } catch {
        refuse("\(field)[\(index)]", error.description)
      }
    }
    return result
  }

  mutating func optionalAddress(_ text: String?, field: String) -> MailAddress? {
    guard let text else { return nil }
    do throws(AddressError) {
      return try MailAddress(text)
    } catch {
      refuse(field, error.description)
      return nil
    }
  }

  mutating func recipients(_ count: Int) {
    if count == 0 { refuse("to", "Give at least one recipient in to, cc or bcc.") }
    if count > MessageLimits.recipients {
      refuse("to", "Gmail takes at most \(MessageLimits.recipients) recipients in to, cc and bcc together.")
    }
  }

  mutating func fromName(_ name: String?) -> String? {
    guard let name else { return nil }
    let trimmed = HeaderText.trimmingSpaces(
      header(name, field: "from_name", maximum: MailAddress.maximumDisplayName))
    return trimmed.isEmpty ? nil : trimmed
  }

  // MARK: Text

  mutating func header(_ text: String, field: String, maximum: Int) -> String {
    guard HeaderText.isSafe(text) else {
      refuse(field, "Control characters and line breaks are not allowed here.")
      return ""
    }
    guard text.unicodeScalars.count <= maximum else {
      refuse(field, "This is longer than \(maximum) characters.")
      return ""
    }
    return text
  }

  mutating func body(text: String?, html: String?) {
    if text == nil, html == nil { refuse("body", "Give body (plain text), html, or both.") }
  }

  mutating func count(_ count: Int, field: String, maximum: Int) {
    if count > maximum { refuse(field, "At most \(maximum) are allowed here.") }
  }

  // MARK: Attachments

  mutating func attachments(_ drafts: [MessageDraft.Attachment]) -> [OutgoingMessage.Attachment] {
    count(drafts.count, field: "attachments", maximum: MessageLimits.attachments)
    var result: [OutgoingMessage.Attachment] = []
    var identifiers: Set<String> = []
    for (index, draft) in drafts.prefix(MessageLimits.attachments).enumerated() {
      let attachment = attachment(draft, field: "attachments[\(index)]")
      if let identifier = attachment.contentID, !identifiers.insert(identifier).inserted {
        refuse("attachments[\(index)].content_id", "Another attachment has this content id.")
      }
      result.append(attachment)
    }
    return result
  }

  private mutating func attachment(
    _ draft: MessageDraft.Attachment, field: String
  ) -> OutgoingMessage.Attachment {
    let filename = HeaderText.trimmingSpaces(
      header(draft.filename, field: "\(field).filename", maximum: MessageLimits.filename))
    let contentID = contentID(draft.contentID, field: "\(field).content_id")
    var disposition = contentID == nil ? OutgoingMessage.Attachment.Disposition.attachment : .inline
    if let wanted = draft.disposition {
      if let known = OutgoingMessage.Attachment.Disposition(rawValue: wanted) {
        disposition = known
      } else {
        refuse("\(field).disposition", "This must be attachment or inline.")
      }
    }
    if filename.isEmpty, draft.filename.isEmpty, disposition == .attachment {
      refuse("\(field).filename", "An attachment needs a file name.")
    }
    if filename == "." || filename == ".." || filename.utf8.contains(UInt8(ascii: "/")) {
      refuse("\(field).filename", "A file name has no path.")
    }
    return OutgoingMessage.Attachment(
      filename: filename, mediaType: mediaType(draft.contentType, field: "\(field).content_type"),
      content: draft.content, contentID: contentID, disposition: disposition)
  }

  private mutating func mediaType(_ text: String, field: String) -> MediaType {
    guard !text.isEmpty else { return .octetStream }
    guard let type = MediaType(text) else {
      refuse(field, "This is not a media type such as application/pdf.")
      return .octetStream
    }
    // RFC 2046 §5.1 and §5.2.1 forbid to encode these two as base64.
    guard type.type != "multipart", type.type != "message" else {
      refuse(field, "A mail inside a mail must be sent as application/octet-stream.")
      return .octetStream
    }
    return type
  }

  /// `id-left@id-right` or a dot-atom alone, what mail programs put after `cid:`.
  private mutating func contentID(_ text: String?, field: String) -> String? {
    guard var text else { return nil }
    if text.hasPrefix("<"), text.hasSuffix(">"), text.utf8.count >= 2 { text = String(text.dropFirst().dropLast()) }
    let halves = text.split(separator: "@", omittingEmptySubsequences: false)
    // What looks like an encoded-word some parsers decode, here as in message ids.
    let isValid =
      !HeaderText.looksEncoded(text) && (1...2).contains(halves.count) && text.utf8.count <= 250
      && halves.allSatisfy { half in
        !half.isEmpty && half.unicodeScalars.allSatisfy { HeaderText.isAtomText($0) || $0 == "." }
      }
    guard isValid else {
      refuse(field, "A content id is made of ASCII letters, digits, dots and at most one @.")
      return nil
    }
    return text
  }

  // MARK: The rest

  mutating func headers(_ pairs: [MessageDraft.Pair], own: [MessageDraft.Pair]) -> [ExtraHeader] {
    count(pairs.count, field: "headers", maximum: MessageLimits.headers)
    var result: [ExtraHeader] = []
    for pair in pairs.prefix(MessageLimits.headers) + own {
      do throws(FieldViolation) {
        let header = try ExtraHeader(name: pair.name, value: pair.value)
        if header.isSingular, result.contains(where: { $0.name.lowercased() == header.name.lowercased() }) {
          refuse("headers", "A header that may stand once was given twice.")
        }
        result.append(header)
      } catch {
        refuse(error.field, error.message)
      }
    }
    return result
  }

  /// Gmail's thread ids are hexadecimal numbers; anything of that kind is passed on for Gmail to judge.
  mutating func threadID(_ text: String?) -> String? {
    guard let text else { return nil }
    let isValid =
      (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        0x30...0x39 ~= $0 || 0x61...0x7A ~= $0 | 0x20 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
      }
    guard isValid else {
      refuse("thread_id", "This is not a Gmail thread id.")
      return nil
    }
    return text
  }

  mutating func provider(_ name: String?) {
    if let name, name != "gmail_api" { refuse("provider", "The only provider is gmail_api.") }
  }

  mutating func sendAt(_ time: Timestamp?, now: Timestamp) -> Timestamp? {
    guard let time else { return nil }
    if time < now - MessageLimits.pastTolerance {
      refuse("send_at", "This time has passed.")
    } else if time > now + MessageLimits.scheduleAhead {
      refuse("send_at", "A mail can be scheduled at most 365 days ahead.")
    }
    return time <= now ? nil : time
  }

  mutating func metadata(_ pairs: [MessageDraft.Pair]) -> [MessageDraft.Pair] {
    count(pairs.count, field: "metadata", maximum: MessageLimits.metadata)
    var names: Set<String> = []
    for pair in pairs.prefix(MessageLimits.metadata) {
      if pair.name.isEmpty || pair.name.unicodeScalars.count > MessageLimits.metadataKey {
        refuse("metadata", "A key has 1 to \(MessageLimits.metadataKey) characters.")
      }
      if pair.value.unicodeScalars.count > MessageLimits.metadataValue {
        refuse("metadata", "A value has at most \(MessageLimits.metadataValue) characters.")
      }
      // Postgres keeps no NUL in jsonb.
      if pair.name.utf8.contains(0) || pair.value.utf8.contains(0) {
        refuse("metadata", "A NUL character cannot be kept.")
      }
      if !names.insert(pair.name).inserted { refuse("metadata", "A key was given twice.") }
    }
    return pairs
  }
}
