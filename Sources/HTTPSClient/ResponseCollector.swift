import HTTPTypes

/// Gathers one response from libcurl's header and body callbacks, within limits.
struct ResponseCollector {
  enum Overflow { case head, body }

  private let maxHeadBytes: Int
  private let maxBodyBytes: Int
  private var headBytes = 0
  private var headIsComplete = false
  private(set) var status: Int?
  private(set) var fields = HTTPFields()
  private(set) var body: [UInt8] = []
  private(set) var overflow: Overflow?
  private(set) var isMalformed = false

  init(maxHeadBytes: Int, maxBodyBytes: Int) {
    self.maxHeadBytes = maxHeadBytes
    self.maxBodyBytes = maxBodyBytes
  }

  /// Whether a final head (not a 1xx one) has arrived whole.
  var finalStatus: Int? { headIsComplete ? status : nil }

  /// The final head.
  var head: HTTPResponse? {
    finalStatus.map { HTTPResponse(status: .init(code: $0), headerFields: fields) }
  }

  /// Takes one header line as libcurl hands it over: a status line, a field, or the empty line; trailers come here as well and are
  /// dropped. False ends the transfer.
  mutating func takeHeaderLine(_ bytes: UnsafeRawBufferPointer) -> Bool {
    headBytes += bytes.count
    guard headBytes <= maxHeadBytes else {
      overflow = .head
      return false
    }
    var line = bytes[...]
    while let last = line.last, last == 0x0d || last == 0x0a { line.removeLast() }
    if headIsComplete { return true }
    if line.isEmpty {
      if let status, status >= 200 { headIsComplete = true }
      return true
    }
    if line.starts(with: "HTTP/".utf8) {
      // A 1xx head may come first: the last one counts.
      fields = HTTPFields()
      let words = line.split(separator: 0x20, maxSplits: 2)
      status = words.count > 1 ? Int(String(decoding: words[1], as: UTF8.self)) : nil
      guard let status, (100...999).contains(status) else {
        isMalformed = true
        return false
      }
      return true
    }
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
      let name = HTTPField.Name(String(decoding: line[..<colon], as: UTF8.self))
    else {
      isMalformed = true
      return false
    }
    var value = line[(colon + 1)...]
    while let first = value.first, first == 0x20 || first == 0x09 { value.removeFirst() }
    while let last = value.last, last == 0x20 || last == 0x09 { value.removeLast() }
    fields.append(HTTPField(name: name, value: Array(value)))
    return true
  }

  /// Takes a piece of the body. False ends the transfer.
  mutating func takeBody(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard body.count + bytes.count <= maxBodyBytes else {
      overflow = .body
      return false
    }
    body.append(contentsOf: bytes)
    return true
  }
}
