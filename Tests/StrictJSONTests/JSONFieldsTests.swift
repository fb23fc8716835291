import StrictJSON
import Testing

@Suite("JSON fields")
struct JSONFieldsTests {
  @Test("Collects every error with its path, unknown members included")
  func collects() throws {
    let fields = try JSONFields(
      JSONValue(parsing: #"{"to":["a@b.example",7,{"email":true,"nam":"x"}],"subject":5,"extra":1,"meta":{"k":1}}"#))
    _ = fields.elements("to", maximumCount: 3).map { path, element in
      if element.objectValue != nil {
        _ = fields.fields(element, at: path)?.string("email")
      } else if element.stringValue == nil {
        fields.failAt(path, "must be an address")
      }
    }
    _ = fields.string("subject")
    _ = fields.string("body")
    _ = fields.strings("meta", maximumCount: 2, maximumScalars: 10)
    let error = #expect(throws: JSONFieldErrors.self) { try fields.finish() }
    #expect(
      error?.items == [
        .init(field: "to[1]", message: "must be an address"),
        .init(field: "to[2].email", message: "must be a string, not a boolean"),
        .init(field: "subject", message: "must be a string, not a number"),
        .init(field: "body", message: "is required"),
        .init(field: "meta.k", message: "must be a string, not a number"),
        .init(field: "extra", message: "is not a known field"),
        .init(field: "to[2].nam", message: "is not a known field"),
      ])
  }

  @Test("Gives typed values when nothing is wrong")
  func values() throws {
    let fields = try JSONFields(JSONValue(parsing: #"{"a":"x","n":5,"b":true,"none":null,"list":["1","2"]}"#))
    #expect(fields.string("a") == "x")
    #expect(fields.optionalInteger("n", in: 1...5) == 5)
    #expect(fields.optionalBool("b") == true)
    #expect(fields.optionalString("none") == nil)
    let list = fields.array("list", maximumCount: 2) { value throws(JSONFieldProblem) in try value.asString() }
    #expect(list == ["1", "2"])
    try fields.finish()
  }

  @Test("Limits hold at the limit and fail one above it")
  func limits() throws {
    let fields = try JSONFields(JSONValue(parsing: #"{"a":"éé","b":"ééé","n":6,"list":[1,2,3]}"#))
    #expect(fields.string("a", maximumScalars: 2) == "éé")
    _ = fields.string("b", maximumScalars: 2)
    _ = fields.optionalInteger("n", in: 1...5)
    #expect(fields.elements("list", maximumCount: 2).isEmpty)
    let error = #expect(throws: JSONFieldErrors.self) { try fields.finish() }
    #expect(error?.items.map(\.field) == ["b", "n", "list"])
  }

  @Test("A body that is no object is refused")
  func notAnObject() {
    #expect(throws: JSONFieldErrors.self) { try JSONFields(JSONValue(parsing: "[]")) }
  }
}
