import HTTPTypes
import Testing

@testable import HTTPSClient

@Suite("A response as it comes")
struct ResponseCollectorTests {
  /// Gives the lines; false when one of them ended the transfer.
  private static func take(_ lines: [String], by collector: inout ResponseCollector) -> Bool {
    lines.allSatisfy { line in Array(line.utf8).withUnsafeBytes { collector.takeHeaderLine($0) } }
  }

  private static func collector(head: Int = 1000, body: Int = 1000) -> ResponseCollector {
    ResponseCollector(maxHeadBytes: head, maxBodyBytes: body)
  }

  @Test("The head that counts is the last one: interim heads are no answer, and trailers no fields")
  func heads() {
    var collector = Self.collector()
    #expect(Self.take(["HTTP/1.1 103 Early Hints\r\n", "Link: a\r\n", "\r\n"], by: &collector))
    #expect(collector.finalStatus == nil)
    #expect(Self.take(["HTTP/1.1 204\r\n", "X-A: \t 1 \t\r\n", "x-a:2\n"], by: &collector))
    #expect(collector.finalStatus == nil, "it is not whole")
    #expect(Self.take(["\r\n", "X-A: 3\r\n", "no field\r\n"], by: &collector))
    #expect(collector.finalStatus == 204 && !collector.isMalformed)
    #expect(collector.fields[values: HTTPField.Name("X-A")!] == ["1", "2"])
    #expect(!collector.fields.contains(HTTPField.Name("Link")!))
  }

  @Test(
    "A head that is none ends the transfer",
    arguments: [
      "HTTP/1.1 \r\n", "HTTP/1.1 99 X\r\n", "HTTP/1.1 1000 X\r\n", "HTTP/1.1 ok\r\n", "no field\r\n", "a b: c\r\n",
    ])
  func malformed(line: String) {
    var collector = Self.collector()
    #expect(!Self.take([line], by: &collector) && collector.isMalformed && collector.finalStatus == nil)
  }

  @Test("Head and body are taken at their limits, and end the transfer a byte above", arguments: [0, 1])
  func limits(excess: Int) {
    let lines = ["HTTP/1.1 200 OK\r\n", "a: b\r\n", "\r\n"]
    var heads = Self.collector(head: lines.joined().utf8.count - excess)
    #expect(Self.take(lines, by: &heads) == (excess == 0))
    #expect(heads.overflow == (excess == 0 ? nil : .head))
    var bodies = Self.collector(body: 5)
    #expect(([1, 2] as [UInt8]).withUnsafeBytes { bodies.takeBody($0) })
    let rest = [UInt8](repeating: 3, count: 3 + excess)
    #expect(rest.withUnsafeBytes { bodies.takeBody($0) } == (excess == 0))
    #expect(bodies.overflow == (excess == 0 ? nil : .body))
    #expect(bodies.body == (excess == 0 ? [1, 2, 3, 3, 3] : [1, 2]))
  }

  @Test("A body in pieces is read to its end in pieces of any size, without what is empty", arguments: 1...8)
  func bodyReader(size: Int) {
    let body = RequestBody(chunks: [[], [1, 2, 3], [4], [], [5, 6, 7]])
    var reader = RequestBodyReader(body)
    var read: [UInt8] = []
    var counts: [Int] = []
    repeat {
      var buffer = [UInt8](repeating: 0, count: size)
      counts.append(buffer.withUnsafeMutableBytes { reader.read(into: $0) })
      read += buffer.prefix(counts.last ?? 0)
    } while counts.last != 0
    #expect(body.count == 7 && body.chunks.count == 3 && read == [1, 2, 3, 4, 5, 6, 7])
    #expect(counts.dropLast(2).allSatisfy { $0 == size })
  }
}
