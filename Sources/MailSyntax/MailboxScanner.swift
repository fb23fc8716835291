/// Reads one `mailbox` of RFC 5322 §3.4: `addr-spec`, or `display-name <addr-spec>`.
///
/// Comments, groups and the obsolete forms are refused: nobody types them, and they are where parsers disagree.
struct MailboxScanner {
  struct Mailbox: Equatable {
    var displayName: String?
    var localPart: String
    var domain: String
  }

  private let scalars: [Unicode.Scalar]
  private var position = 0

  init(_ text: String) {
    scalars = Array(text.unicodeScalars)
  }

  mutating func mailbox() throws(AddressError) -> Mailbox {
    guard scalars.allSatisfy(HeaderText.isSafe) else { throw .controlCharacter }
    skipSpaces()
    guard !atEnd else { throw .empty }
    guard let angle = firstUnquoted("<") else {
      let (local, domain) = try addressSpecification(until: nil)
      return Mailbox(displayName: nil, localPart: local, domain: domain)
    }
    let name = try displayName(until: angle)
    position = angle + 1
    let (local, domain) = try addressSpecification(until: ">")
    return Mailbox(displayName: name, localPart: local, domain: domain)
  }

  // MARK: Parts

  private mutating func displayName(until end: Int) throws(AddressError) -> String {
    var name = ""
    while position < end {
      let scalar = scalars[position]
      if scalar == "\"" {
        name += try quotedString()
      } else if scalar == "," || scalar == ";" {
        throw .severalAddresses
      } else if scalar == ">" || scalar == "\\" {
        throw .malformed
      } else {
        name.unicodeScalars.append(scalar)
        position += 1
      }
    }
    return name
  }

  private mutating func addressSpecification(until close: Unicode.Scalar?) throws(AddressError) -> (String, String) {
    skipSpaces()
    let local: String
    if !atEnd, scalars[position] == "\"" {
      local = try Self.canonicalLocalPart(quotedString())
    } else {
      local = try dotAtom()
    }
    guard !atEnd, scalars[position] == "@" else {
      if !atEnd, scalars[position] == "," || scalars[position] == ";" { throw .severalAddresses }
      throw local.isEmpty || !scalars[position...].contains("@") ? .noAtSign : .malformed
    }
    guard !local.isEmpty else { throw .malformed }
    position += 1
    let start = position
    while !atEnd, scalars[position] != close, scalars[position] != " " {
      if scalars[position] == "," || scalars[position] == ";" { throw .severalAddresses }
      position += 1
    }
    let domain = text(from: start)
    if let close {
      guard !atEnd, scalars[position] == close else { throw .malformed }
      position += 1
    }
    skipSpaces()
    guard atEnd else {
      throw scalars[position] == "," || scalars[position] == ";" ? .severalAddresses : .malformed
    }
    return (local, domain)
  }

  /// RFC 5322 §3.2.3; an empty result means that no atom stood there.
  private mutating func dotAtom() throws(AddressError) -> String {
    let start = position
    var lastWasDot = true
    while !atEnd {
      let scalar = scalars[position]
      if scalar == "." {
        guard !lastWasDot else { throw .malformed }
        lastWasDot = true
      } else if HeaderText.isAtomText(scalar) {
        lastWasDot = false
      } else if !scalar.isASCII {
        throw .nonASCIILocalPart
      } else {
        break
      }
      position += 1
    }
    if position > start, lastWasDot { throw .malformed }
    return text(from: start)
  }

  /// The content of a quoted string, without quotes and escapes.
  private mutating func quotedString() throws(AddressError) -> String {
    var content = ""
    position += 1
    while !atEnd {
      let scalar = scalars[position]
      position += 1
      if scalar == "\"" { return content }
      if scalar == "\\" {
        guard !atEnd else { throw .malformed }
        content.unicodeScalars.append(scalars[position])
        position += 1
      } else {
        content.unicodeScalars.append(scalar)
      }
    }
    throw .malformed
  }

  /// Quotes only where they are needed, so that `"ann"@x.org` and `ann@x.org` are one address.
  private static func canonicalLocalPart(_ content: String) throws(AddressError) -> String {
    guard !content.isEmpty else { throw .malformed }
    guard content.unicodeScalars.allSatisfy(\.isASCII) else { throw .nonASCIILocalPart }
    let labels = content.unicodeScalars.split(separator: ".", omittingEmptySubsequences: false)
    if labels.allSatisfy({ !$0.isEmpty && $0.allSatisfy(HeaderText.isAtomText) }) { return content }
    return HeaderText.quoted(content)
  }

  // MARK: Scanning

  private var atEnd: Bool { position >= scalars.count }

  /// What stands before the position.
  private func text(from start: Int) -> String {
    String(decoding: scalars[start..<position].flatMap(\.utf8), as: UTF8.self)
  }

  private mutating func skipSpaces() {
    while !atEnd, scalars[position] == " " { position += 1 }
  }

  private func firstUnquoted(_ wanted: Unicode.Scalar) -> Int? {
    var index = position
    var quoted = false
    while index < scalars.count {
      let scalar = scalars[index]
      if scalar == "\\", quoted {
        index += 1
      } else if scalar == "\"" {
        quoted.toggle()
      } else if scalar == wanted, !quoted {
        return index
      }
      index += 1
    }
    return nil
  }
}
