import HTTPTypes

/// Writes response heads and chunks (RFC 9112).
enum HTTP1ResponseEncoder {
  enum Framing { case none, length(Int), chunked, untilClose }

  static let continueResponse = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
  static let lastChunk = Array("0\r\n\r\n".utf8)

  static func head(_ head: HTTPResponse, framing: Framing, close: Bool, minorVersion: Int, date: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(512)
    bytes.append(contentsOf: "HTTP/1.1 \(head.status.code) \(head.status.reasonPhrase)\r\n".utf8)
    for field in head.headerFields where !isServersOwn(field.name) {
      bytes.append(contentsOf: field.name.rawName.utf8)
      bytes.append(contentsOf: ": ".utf8)
      field.withUnsafeBytesOfValue { bytes.append(contentsOf: $0) }
      bytes.append(contentsOf: "\r\n".utf8)
    }
    if !head.headerFields.contains(.date) { bytes.append(contentsOf: "Date: \(date)\r\n".utf8) }
    switch framing {
    case .none, .untilClose: break
    case .length(let length): bytes.append(contentsOf: "Content-Length: \(length)\r\n".utf8)
    case .chunked: bytes.append(contentsOf: "Transfer-Encoding: chunked\r\n".utf8)
    }
    if close {
      bytes.append(contentsOf: "Connection: close\r\n".utf8)
    } else if minorVersion == 0 {
      bytes.append(contentsOf: "Connection: keep-alive\r\n".utf8)
    }
    bytes.append(contentsOf: "\r\n".utf8)
    return bytes
  }

  static func chunk(_ bytes: [UInt8]) -> [UInt8] {
    var chunk = Array("\(String(bytes.count, radix: 16))\r\n".utf8)
    chunk.reserveCapacity(chunk.count + bytes.count + 2)
    chunk.append(contentsOf: bytes)
    chunk.append(contentsOf: "\r\n".utf8)
    return chunk
  }

  /// Statuses whose responses never have a body (RFC 9110 section 6.4.1).
  static func forbidsBody(_ status: HTTPResponse.Status) -> Bool {
    status.code < 200 || status.code == 204 || status.code == 304
  }

  static func isServersOwn(_ name: HTTPField.Name) -> Bool {
    name == .contentLength || name == .transferEncoding || name == .connection || name == .upgrade
      || name.canonicalName == "keep-alive"
  }
}
