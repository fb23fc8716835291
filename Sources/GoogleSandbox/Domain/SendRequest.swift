import StrictJSON
import TLSSession

/// What `messages.send` was given, in any of its three forms.
struct SendRequest: Equatable {
  let raw: [UInt8]
  let threadID: String?

  /// The upload forms' bound on the mail, from the discovery document.
  static let maxUploadBytes = 36_700_160
  /// The JSON form's bound on the whole body.
  static let maxJSONBytes = 5 << 20

  /// `{"raw": base64url, "threadId"?}`.
  init(json body: [UInt8]) throws(GoogleAPIError) {
    guard body.count <= Self.maxJSONBytes else { throw .uploadTooLarge }
    let resource = try Self.resource(body)
    guard let text = resource["raw"] else {
      throw .invalidArgument("'raw' RFC822 payload message string or uploading message via /upload/* URL required")
    }
    guard let encoded = text.stringValue, let raw = Self.decode(encoded) else {
      throw .invalidArgument("Invalid value at 'message.raw' (TYPE_BYTES), Base64 decoding failed")
    }
    self.init(raw: raw, threadID: try Self.threadID(resource))
  }

  /// `uploadType=media`: the mail itself.
  init(media body: [UInt8], contentType: String?) throws(GoogleAPIError) {
    guard body.count <= Self.maxUploadBytes else { throw .uploadTooLarge }
    guard MediaType(contentType ?? "")?.name == "message/rfc822" else {
      throw .invalidArgument("Media type '\(contentType ?? "")' is not supported. Valid media types: [message/rfc822]")
    }
    self.init(raw: body, threadID: nil)
  }

  /// `uploadType=multipart`: a JSON part, then the mail.
  init(multipart body: [UInt8], contentType: String?) throws(GoogleAPIError) {
    guard let type = MediaType(contentType ?? ""), type.name.hasPrefix("multipart/"),
      let boundary = type.parameters["boundary"]
    else {
      throw .invalidArgument("Missing or malformed multipart Content-Type")
    }
    guard let parts = Multipart.parts(of: body, boundary: boundary), parts.count == 2 else {
      throw .invalidArgument("Malformed multipart body.")
    }
    let resource = parts[0].body.isEmpty ? JSONValue.object(JSONObject()) : try Self.resource(Array(parts[0].body))
    guard parts[1].type == "message/rfc822" else {
      throw .invalidArgument("Media type '\(parts[1].type)' is not supported. Valid media types: [message/rfc822]")
    }
    guard parts[1].body.count <= Self.maxUploadBytes else { throw .uploadTooLarge }
    self.init(raw: Array(parts[1].body), threadID: try Self.threadID(resource))
  }

  private init(raw: [UInt8], threadID: String?) {
    self.raw = raw
    self.threadID = threadID
  }

  private static func resource(_ body: [UInt8]) throws(GoogleAPIError) -> JSONValue {
    guard let value = try? JSONValue(parsing: body, limits: JSONLimits(maximumBytes: maxJSONBytes)),
      value.objectValue != nil
    else {
      throw .parseError
    }
    return value
  }

  private static func threadID(_ resource: JSONValue) throws(GoogleAPIError) -> String? {
    guard let value = resource["threadId"], !value.isNull else { return nil }
    guard let text = value.stringValue, !text.isEmpty else { throw .invalidArgument("Invalid thread_id value") }
    return text
  }

  /// Base64url, padded as it should be or not at all.
  private static func decode(_ text: String) -> [UInt8]? {
    guard text.utf8.last == UInt8(ascii: "=") else { return Base64.decode(text, .urlSafe) }
    guard text.utf8.count % 4 == 0 else { return nil }
    let padding = text.utf8.reversed().prefix { $0 == UInt8(ascii: "=") }.count
    return padding <= 2 ? Base64.decode(text.dropLast(padding), .urlSafe) : nil
  }
}

/// A `Content-Type` value.
struct MediaType: Equatable {
  let name: String
  private(set) var parameters: [String: String] = [:]

  init?(_ text: String) {
    let parts = text.split(separator: ";")
    guard let first = parts.first else { return nil }
    name = first.trimmingSpaces.lowercased()
    guard name.contains("/") else { return nil }
    for part in parts.dropFirst() {
      let pair = part.split(separator: "=", maxSplits: 1)
      guard pair.count == 2 else { continue }
      var value = pair[1].trimmingSpaces[...]
      if value.count >= 2, value.first == "\"", value.last == "\"" { value = value.dropFirst().dropLast() }
      parameters[pair[0].trimmingSpaces.lowercased()] = String(value)
    }
  }
}

enum Multipart {
  struct Part {
    let type: String
    let body: ArraySlice<UInt8>
  }

  /// The parts of a multipart body (RFC 2046); nil when it is not well-formed. Line ends may be LF alone, as Google's own clients send.
  static func parts(of body: [UInt8], boundary: String) -> [Part]? {
    let delimiter = Array("--\(boundary)".utf8)
    guard !boundary.isEmpty, boundary.utf8.count <= 70 else { return nil }
    var parts: [Part] = []
    var start: Int?
    var position = 0
    while position < body.count {
      let newline = body[position...].firstIndex(of: 0x0a)
      let next = newline.map { $0 + 1 } ?? body.count
      if body[position...].starts(with: delimiter) {
        var rest = body[(position + delimiter.count)..<(newline ?? body.count)]
        let isLast = rest.starts(with: "--".utf8)
        if isLast { rest = rest.dropFirst(2) }
        if rest.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }) {
          if let start {
            var end = position
            if end > start, body[end - 1] == 0x0a { end -= 1 }
            if end > start, body[end - 1] == 0x0d { end -= 1 }
            guard let part = part(body[start..<max(start, end)]) else { return nil }
            parts.append(part)
          }
          if isLast { return parts }
          start = next
        }
      }
      position = next
    }
    return nil
  }

  private static func part(_ bytes: ArraySlice<UInt8>) -> Part? {
    if bytes.first == 0x0a { return Part(type: "text/plain", body: bytes.dropFirst()) }
    if bytes.starts(with: [0x0d, 0x0a]) { return Part(type: "text/plain", body: bytes.dropFirst(2)) }
    // Only the head of the part: a mail of many megabytes is not copied for it.
    var end = bytes.startIndex
    while let newline = bytes[end...].firstIndex(of: 0x0a) {
      let next = newline + 1
      let isEmptyLine = bytes[next...].first == 0x0a || bytes[next...].starts(with: [0x0d, 0x0a])
      end = next
      if isEmptyLine {
        guard let header = MailHeader(Array(bytes[bytes.startIndex..<next])) else { return nil }
        let type = MediaType(header.first("content-type") ?? "text/plain")?.name ?? "text/plain"
        return Part(type: type, body: bytes[(next + (bytes[next] == 0x0d ? 2 : 1))...])
      }
    }
    return nil
  }
}
