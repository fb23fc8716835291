import MailSyntax

/// A MIME content type (RFC 2045 §5.1) for an attachment.
struct MediaType: Hashable, Sendable {
  static let octetStream = MediaType(type: "application", subtype: "octet-stream", parameters: [])

  /// Lower case.
  let type: String
  /// Lower case.
  let subtype: String
  let parameters: [Parameter]

  struct Parameter: Hashable, Sendable {
    /// Lower case.
    var name: String
    var value: String
  }

  private init(type: String, subtype: String, parameters: [Parameter]) {
    self.type = type
    self.subtype = subtype
    self.parameters = parameters
  }

  /// Reads `type/subtype; name=value; name="quoted value"`; `nil` when it is not that.
  init?(_ text: String) {
    guard HeaderText.isPrintableASCII(text), text.utf8.count <= 255 else { return nil }
    var rest = Substring(text)
    let essence = rest.prefix { $0 != ";" }
    rest = rest[essence.endIndex...]
    let halves = HeaderText.trimmingSpaces(String(essence)).split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2, HeaderText.isToken(halves[0]), HeaderText.isToken(halves[1]) else { return nil }
    var parameters: [Parameter] = []
    while rest.first == ";" {
      rest = rest.dropFirst().drop { $0 == " " }
      if rest.isEmpty { break }
      guard let parameter = Self.parameter(&rest) else { return nil }
      guard !parameters.contains(where: { $0.name == parameter.name }) else { return nil }
      parameters.append(parameter)
    }
    guard rest.isEmpty else { return nil }
    self.init(type: halves[0].lowercased(), subtype: halves[1].lowercased(), parameters: parameters)
  }

  private static func parameter(_ rest: inout Substring) -> Parameter? {
    guard let equals = rest.firstIndex(of: "="), HeaderText.isToken(rest[..<equals]) else { return nil }
    let name = rest[..<equals].lowercased()
    rest = rest[rest.index(after: equals)...]
    var value = ""
    if rest.first == "\"" {
      rest = rest.dropFirst()
      var closed = false
      while !closed {
        guard let character = rest.popFirst() else { return nil }
        switch character {
        case "\"": closed = true
        case "\\":
          guard let escaped = rest.popFirst() else { return nil }
          value.append(escaped)
        default: value.append(character)
        }
      }
    } else {
      let token = rest.prefix { $0 != ";" && $0 != " " }
      guard HeaderText.isToken(token) else { return nil }
      value = String(token)
      rest = rest[token.endIndex...]
    }
    rest = rest.drop { $0 == " " }
    return Parameter(name: name, value: value)
  }

  /// The words of a `Content-Type` field.
  var words: [String] {
    var words = ["\(type)/\(subtype)"]
    for parameter in parameters { words += ParameterText.words(parameter.name, parameter.value) }
    return ParameterText.separated(words)
  }
}

/// Parameters of MIME fields, with RFC 2231 for what a quoted string cannot carry.
enum ParameterText {
  /// Characters of a value in one segment, so that a line with `filename*NN*=` stays under 76.
  private static let segment = 54

  /// `name=value` in one word, or `name*0*=…`, `name*1*=…` when it is long or not ASCII (RFC 2231 §3, §4).
  static func words(_ name: String, _ value: String) -> [String] {
    if HeaderText.isPrintableASCII(value), value.utf8.count <= segment, !HeaderText.looksEncoded(value) {
      return ["\(name)=\(isPlain(value) ? value : HeaderText.quoted(value))"]
    }
    var segments: [String] = []
    var current = "utf-8''"
    for scalar in value.unicodeScalars {
      let encoded = percentEncoded(scalar)
      if current.utf8.count + encoded.utf8.count > segment {
        segments.append(current)
        current = ""
      }
      current += encoded
    }
    segments.append(current)
    guard segments.count > 1 else { return ["\(name)*=\(segments[0])"] }
    return segments.enumerated().map { "\(name)*\($0.offset)*=\($0.element)" }
  }

  /// A token without the characters that RFC 2231 gives a meaning.
  private static func isPlain(_ value: String) -> Bool {
    HeaderText.isToken(value) && !value.utf8.contains { $0 == 0x27 || $0 == 0x2A || $0 == 0x25 }
  }

  /// Puts a semicolon after each word but the last.
  static func separated(_ words: [String]) -> [String] {
    words.enumerated().map { $0.offset < words.count - 1 ? $0.element + ";" : $0.element }
  }

  /// `attribute-char` of RFC 2231 §7 stands bare.
  private static func percentEncoded(_ scalar: Unicode.Scalar) -> String {
    if scalar.isASCII, HeaderText.isToken(String(scalar)), scalar != "*", scalar != "'", scalar != "%" {
      return String(scalar)
    }
    var output: [UInt8] = []
    for byte in UTF8.encode(scalar)! {
      output.append(UInt8(ascii: "%"))
      output.append(contentsOf: HexDigits.upper(byte))
    }
    return String(decoding: output, as: UTF8.self)
  }
}
