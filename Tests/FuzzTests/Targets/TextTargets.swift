@testable import HTTPServer
import HTTPTypes
import StrictJSON

extension FuzzTarget {
  /// What is read as JSON is written so that it reads the same again.
  static let json = FuzzTarget(name: "json") { bytes in
    guard let value = try? JSONValue(parsing: bytes) else { return }
    let written = value.encoded()
    let limits = JSONLimits(maximumBytes: .max, maximumDepth: JSONLimits().maximumDepth)
    guard let again = try? JSONValue(parsing: written, limits: limits) else {
      throw FuzzFault("JSON is refused as it was written")
    }
    try require(again == value && again.encoded() == written, "JSON is read differently the second time")
    walk(value)
  }

  private static func walk(_ value: JSONValue) {
    _ = (value.int64Value, value.doubleValue, value.stringValue, value.kind)
    for element in value.arrayValue ?? [] { walk(element) }
    for member in value.objectValue?.members ?? [] { walk(member.value) }
  }

  /// HTTP/1 requests behind one another: however the bytes are cut, the requests are the same.
  static let http1 = FuzzTarget(name: "http1") { bytes in
    var input = FuzzInput(bytes)
    let cut = input.pieces()
    let (whole, wholeError) = try requests([input.rest])
    let (inPieces, error) = try requests(cut)
    try require(whole == inPieces, "in pieces \(whole) reads \(inPieces)")
    try require(wholeError == error, "in pieces \(wholeError ?? "no error") becomes \(error ?? "no error")")
  }

  private static func requests(_ pieces: [UnsafeRawBufferPointer]) throws -> (lines: [String], error: String?) {
    var parser = HTTP1RequestParser()
    var lines: [String] = []
    var body: [UInt8] = []
    for piece in pieces {
      var rest = piece
      reading: while true {
        let count: Int
        let output: HTTP1RequestParser.Output
        do {
          (count, output) = try parser.consume(rest)
        } catch { return (lines, "\(error.status.code)") }
        try require(count <= rest.count, "more was taken than there was")
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        switch output {
        case .needMore:
          try require(rest.isEmpty, "the parser stands still")
          break reading
        case .head(let head):
          try check(head)
          lines.append("\(head)")
        case .body(let bytes): body += bytes
        case .end:
          lines.append("body \(body)")
          body = []
          parser.startNext()
        }
      }
    }
    return (lines + ["body \(body)"], nil)
  }

  private static func check(_ head: HTTP1Head) throws {
    let texts = [head.request.path ?? "", head.request.authority ?? ""] + head.request.headerFields.map(\.value)
    for text in texts {
      try require(!text.utf8.contains { $0 == 13 || $0 == 10 || $0 == 0 }, "a line break in a field")
    }
  }
}
