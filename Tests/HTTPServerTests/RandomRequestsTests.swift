import HTTPTypes
import TestSupport
import Testing

@testable import HTTPServer

@Suite("Random requests")
struct RandomRequestsTests {
  /// What a parser made of some bytes: the messages, and whether it refused what followed.
  private struct Reading: Equatable {
    var messages: [String] = []
    var isRefused = false
  }

  private static let seeds = [
    "GET /a HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
  ]
  private static let spice = Array("\r\n\r\n\n\r :;,\t0123456789abfxGH/%\u{0}é".utf8)

  @Test("Broken requests read the same however the bytes are cut, and never crash", arguments: 0..<30)
  func cuts(_ seed: Int) {
    var random = SeededRandom(seed: UInt64(seed) &* 7_919 &+ 1)
    for _ in 0..<100 {
      var bytes = Array(Self.seeds.randomElement(using: &random)!.utf8)
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0...3, using: &random) {
        case 0: bytes[place] = Self.spice.randomElement(using: &random)!
        case 1: bytes.insert(Self.spice.randomElement(using: &random)!, at: place)
        case 2: bytes.remove(at: place)
        default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 12)], at: place)
        }
      }
      let whole = read(bytes, pieces: { _ in bytes.count })
      let single = read(bytes, pieces: { _ in 1 })
      let ragged = read(bytes, pieces: { Int.random(in: 1...7, using: &$0) }, &random)
      #expect(whole == single && whole == ragged, "\(String(decoding: bytes, as: UTF8.self).debugDescription)")
    }
  }

  private func read(_ bytes: [UInt8], pieces: (inout SeededRandom) -> Int) -> Reading {
    var unused = SeededRandom(seed: 0)
    return read(bytes, pieces: pieces, &unused)
  }

  private func read(
    _ bytes: [UInt8], pieces: (inout SeededRandom) -> Int, _ random: inout SeededRandom
  ) -> Reading {
    var reading = Reading()
    var parser = HTTP1RequestParser()
    var current = ""
    var rest = bytes[...]
    do {
      while !rest.isEmpty {
        let piece = Array(rest.prefix(pieces(&random)))
        rest = rest.dropFirst(piece.count)
        try piece.withUnsafeBytes { buffer in
          var left = buffer
          parsing: while true {
            let (count, output) = try parser.consume(left)
            left = UnsafeRawBufferPointer(rebasing: left[count...])
            switch output {
            case .needMore: break parsing
            case .head(let head):
              current =
                "\(head.request.method) \(head.request.path ?? "") \(head.request.headerFields.map(\.description)) "
            case .body(let part): current += String(decoding: part, as: UTF8.self)
            case .end:
              reading.messages.append(current)
              parser.startNext()
            }
          }
        }
      }
    } catch {
      reading.isRefused = true
    }
    return reading
  }
}
