import HTTPTypes
import Testing

@testable import HTTPServer

@Suite("HTTP/1.1 request parser")
struct HTTP1RequestParserTests {
  struct Message: Equatable {
    var method = ""
    var path = ""
    var authority: String?
    var body = ""
    var keepAlive = true
  }

  /// Parses everything in pieces of `step` bytes.
  private func parse(_ text: String, step: Int = .max, limits: HTTP1Limits = HTTP1Limits()) throws -> [Message] {
    var parser = HTTP1RequestParser(limits: limits)
    var messages: [Message] = []
    var current = Message()
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
      let piece = Array(bytes[sent..<min(bytes.count, sent + min(step, bytes.count))])
      sent += piece.count
      try piece.withUnsafeBytes { buffer in
        var rest = buffer
        parsing: while true {
          let (count, output) = try parser.consume(rest)
          rest = UnsafeRawBufferPointer(rebasing: rest[count...])
          switch output {
          case .needMore: break parsing
          case .head(let head):
            current = Message(
              method: head.request.method.rawValue, path: head.request.path ?? "", authority: head.request.authority,
              keepAlive: head.keepAlive)
          case .body(let part): current.body += String(decoding: part, as: UTF8.self)
          case .end:
            messages.append(current)
            parser.startNext()
          }
        }
      }
    }
    return messages
  }

  private func status(of text: String, limits: HTTP1Limits = HTTP1Limits()) -> Int? {
    do {
      _ = try parse(text, limits: limits)
      return nil
    } catch {
      return (error as? HTTP1ParseError)?.status.code
    }
  }

  @Test("Requests come out the same, however the bytes are cut", arguments: [1, 2, 3, 7, Int.max])
  func cuts(_ step: Int) throws {
    let text =
      "POST /a?b=c HTTP/1.1\r\nHost: h:1\r\nContent-Length: 5\r\n\r\nhello"
      + "POST /d HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nT: v\r\n\r\n"
      + "\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    #expect(
      try parse(text, step: step) == [
        Message(method: "POST", path: "/a?b=c", authority: "h:1", body: "hello"),
        Message(method: "POST", path: "/d", authority: "h", body: "abcabcdefghijklmnopqrstuvwxyz"),
        Message(method: "GET", path: "/", authority: "h", keepAlive: false),
      ])
  }

  @Test("The absolute form carries the authority; HTTP/1.0 needs no Host and does not keep alive")
  func forms() throws {
    #expect(
      try parse("GET http://other:8080/x?y HTTP/1.1\r\nHost: h\r\n\r\n") == [
        Message(method: "GET", path: "/x?y", authority: "other:8080")
      ])
    #expect(try parse("GET / HTTP/1.0\r\n\r\n") == [Message(method: "GET", path: "/", keepAlive: false)])
    #expect(try parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").first?.path == "*")
  }

  @Test(
    "Anything that two parsers may read differently is refused",
    arguments: [
      ("GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\r\nX: \u{0}\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
      ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
      ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
      ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
      ("GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
      ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
      ("GET / HTTP/11\r\nHost: h\r\n\r\n", 400),
      ("GET / http/1.1\r\nHost: h\r\n\r\n", 400),
      ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
      ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 501),
      ("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999\r\n\r\n", 400),
      ("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
      ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
      ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
      ("POST / HTTP/1.1\r\nHost: h\r\nExpect: cake\r\n\r\n", 417),
    ])
  func refused(_ text: String, _ code: Int) {
    #expect(status(of: text) == code)
  }

  @Test(
    "Malformed chunks are refused",
    arguments: [
      "x\r\n", "\r\n", "-1\r\n", "0x1\r\n", "1\n", "1\r\nab\r\n", "1\r\na\n", "1 \r\na\r\n", "1 x;y\r\na\r\n",
      "1;a\rb\r\na\r\n",
      "1000000000000000\r\n", "0\r\nX : y\r\n\r\n", "0\r\nX: y\n\r\n", "1;\u{1}\r\na\r\n",
    ])
  func chunks(_ body: String) {
    #expect(status(of: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body) == 400)
  }

  @Test("A target at the limit passes, one byte more is 414", arguments: [(8192, nil), (8193, 414)] as [(Int, Int?)])
  func target(_ length: Int, _ code: Int?) {
    let path = "/" + String(repeating: "a", count: length - 1)
    #expect(status(of: "GET \(path) HTTP/1.1\r\nHost: h\r\n\r\n") == code)
  }

  @Test("A target without an end is refused before it is all there")
  func endlessTarget() {
    #expect(status(of: "GET /" + String(repeating: "a", count: 9000)) == 414)
  }

  @Test("100 fields pass, 101 are 431", arguments: [(100, nil), (101, 431)] as [(Int, Int?)])
  func fields(_ count: Int, _ code: Int?) {
    let fields = (1..<count).map { "X-\($0): v\r\n" }.joined()
    #expect(status(of: "GET / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n") == code)
  }

  @Test("The header block is bounded", arguments: [(16_000, nil), (16_400, 431)] as [(Int, Int?)])
  func headerBlock(_ size: Int, _ code: Int?) {
    #expect(
      status(of: "GET / HTTP/1.1\r\nHost: h\r\nX: \(String(repeating: "a", count: size))\r\n\r\n") == code)
  }

  @Test("A long method is unknown, not a long read")
  func method() {
    #expect(status(of: "\(String(repeating: "A", count: 21)) / HTTP/1.1\r\nHost: h\r\n\r\n") == 501)
  }

  @Test("Chunk extensions and trailers are bounded")
  func chunkExtras() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    #expect(status(of: head + "1;" + String(repeating: "a", count: 300) + "\r\n") == 400)
    #expect(
      status(of: head + String(repeating: "1;" + String(repeating: "a", count: 200) + "\r\nx\r\n", count: 25)) == 400)
    #expect(
      status(of: head + "0\r\n" + String(repeating: "X: " + String(repeating: "a", count: 100) + "\r\n", count: 90))
        == 431)
  }
}
