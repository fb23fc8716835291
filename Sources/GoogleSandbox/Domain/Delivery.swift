import CivilTime

/// What Gmail makes of a mail before it leaves.
enum Delivery {
  /// Recipients a message may have.
  static let maxRecipients = 500
  /// A mail's own bound.
  static let maxMailBytes = 25 << 20

  /// Checks the mail and makes the message that arrives.
  static func message(
    of request: SendRequest, account: Account, id: String, threadID: String, now: Timestamp
  ) throws(GoogleAPIError) -> StoredMessage {
    guard request.raw.count <= maxMailBytes else { throw .uploadTooLarge }
    guard let header = MailHeader(request.raw) else { throw .invalidArgument("Invalid RFC 5322 message") }
    let (to, cc, bcc) = (header.addresses("to"), header.addresses("cc"), header.addresses("bcc"))
    let recipientCount = to.count + cc.count + bcc.count
    guard recipientCount > 0 else { throw .invalidArgument("Recipient address required") }
    guard recipientCount <= maxRecipients else { throw .invalidArgument("Too many recipients") }
    guard (to + cc + bcc).allSatisfy(Account.isAddress) else {
      throw .invalidArgument("Invalid To header")
    }
    let from = header.values("from")
    let isOwn = from.count == 1 && MailAddressList.addresses(from[0]) == [account.address]
    return StoredMessage(
      id: id, threadID: threadID, account: account.address, from: isOwn ? from[0] : account.address, to: to, cc: cc,
      bcc: bcc,
      subject: EncodedWords.decode(header.first("subject") ?? ""), messageID: header.first("message-id"), received: now,
      raw: delivered(request.raw, header: header, replacingFrom: isOwn ? nil : account.address))
  }

  /// Without Bcc, and with the account's own From where another stood there: Gmail replaces it without a word.
  private static func delivered(_ raw: [UInt8], header: MailHeader, replacingFrom from: String?) -> [UInt8] {
    let dropped = header.fields.filter { field in
      let name = field.name.lowercased()
      return name == "bcc" || (from != nil && name == "from")
    }
    if dropped.isEmpty && from == nil { return raw }
    var result: [UInt8] = []
    result.reserveCapacity(raw.count + 64)
    if let from { result += Array("From: \(from)\r\n".utf8) }
    var position = 0
    for field in dropped {
      result += raw[position..<field.range.lowerBound]
      position = field.range.upperBound
    }
    result += raw[position...]
    return result
  }
}
