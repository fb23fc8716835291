import StrictJSON
import Testing

@Suite("JSON writer")
struct JSONWriterTests {
  @Test("Writes objects, arrays and commas")
  func structure() {
    var json = JSONWriter()
    json.object { json in
      json.member("status", "success")
      json.member("none", nil as String?)
      json.member("count", 3)
      json.member("rate", 0.5)
      json.member("rows") { json in
        json.array(of: [1, 2]) { json, number in
          json.object { $0.member("n", number) }
        }
      }
      json.member("empty") { $0.object { _ in } }
    }
    #expect(
      String(decoding: json.finish(), as: UTF8.self)
        == #"{"status":"success","none":null,"count":3,"rate":0.5,"rows":[{"n":1},{"n":2}],"empty":{}}"#)
  }

  @Test("Escapes what must be escaped and nothing else")
  func escapes() throws {
    let text = "\"\\/\u{08}\u{0C}\n\r\t\u{01}\u{1F}é😀\u{7F}"
    let encoded = JSONValue.string(text).encoded()
    #expect(String(decoding: encoded, as: UTF8.self) == #""\"\\/\b\f\n\r\t\u0001\u001fé😀"# + "\u{7F}\"")
    #expect(try JSONValue(parsing: encoded) == .string(text))
  }

  @Test("Infinity and NaN become null")
  func notNumbers() {
    var json = JSONWriter()
    json.array(of: [Double.infinity, .nan, 1]) { $0.value($1) }
    #expect(String(decoding: json.finish(), as: UTF8.self) == "[null,null,1.0]")
  }

  @Test("Newline-delimited rows carry no commas between them")
  func newlines() {
    var json = JSONWriter()
    for row in 0..<2 {
      json.object { $0.member("row", row) }
      json.newline()
    }
    #expect(String(decoding: json.finish(), as: UTF8.self) == "{\"row\":0}\n{\"row\":1}\n")
  }
}
