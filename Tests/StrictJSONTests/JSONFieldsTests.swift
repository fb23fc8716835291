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

  @Test("Of an object of strings as many members as are allowed are read, in their order; one more is an error")
  func stringMembers() throws {
    for (maximum, fails) in [(3, false), (2, true)] {
      let fields = try JSONFields(JSONValue(parsing: #"{"m":{"b":"2","a":"é","c":""}}"#))
      let members = fields.strings("m", maximumCount: maximum, maximumScalars: 1)
      if !fails { #expect(members.map(\.name) == ["b", "a", "c"] && members.map(\.value) == ["2", "é", ""]) }
      #expect(((try? fields.finish()) == nil) == fails)
    }
  }

  @Test("Of a field the first error is told, and of a body fifty")
  func manyErrors() throws {
    let members = (0..<60).map { "\"n\($0)\":1" }.joined(separator: ",")
    let fields = try JSONFields(JSONValue(parsing: "{\(members)}"))
    fields.fail("n0", "first")
    fields.fail("n0", "second")
    let error = #expect(throws: JSONFieldErrors.self) { try fields.finish() }
    #expect(error?.items.count == 50 && error?.items.first == .init(field: "n0", message: "first"))
    #expect(Set(error?.items.map(\.field) ?? []).count == 50)
  }

  @Test("Null is as if it were not there, and a wrong kind is told by its name")
  func kinds() throws {
    let fields = try JSONFields(
      JSONValue(parsing: #"{"s":null,"o":null,"a":null,"i":1.5,"big":9223372036854775808,"f":"x","l":{},"in":[]}"#))
    #expect(fields.string("s") == "" && !fields.has("s") && fields.has("i"))
    #expect(fields.optionalObject("o") == nil && fields.elements("a", maximumCount: 1).isEmpty)
    #expect(fields.optionalInteger("i") == nil && fields.optionalInteger("big") == nil)
    #expect(fields.optionalBool("f") == nil && fields.elements("l", maximumCount: 1).isEmpty)
    #expect(fields.optionalObject("in") == nil)
    let error = #expect(throws: JSONFieldErrors.self) { try fields.finish() }
    #expect(
      error?.items == [
        .init(field: "s", message: "is required"), .init(field: "i", message: "must be an integer"),
        .init(field: "big", message: "must be an integer"),
        .init(field: "f", message: "must be true or false, not a string"),
        .init(field: "l", message: "must be an array, not an object"),
        .init(field: "in", message: "must be an object, not an array"),
      ])
  }

  @Test("An object's members are set, changed and taken away by the bytes of their names, in their order")
  func objectMembers() {
    var object = JSONObject()
    (object["a"], object["\u{E9}"], object["e\u{301}"], object["b"]) = (1, 2, 3, 4)
    (object["a"], object["b"], object["none"]) = (5, nil, nil)
    #expect(object.members.map(\.value) == [5, 2, 3] && object.count == 3 && !object.isEmpty)
    #expect(JSONValue.object(object)["e\u{301}"] == 3 && object["b"] == nil)
  }

  @Test("A body that is no object is refused")
  func notAnObject() {
    #expect(throws: JSONFieldErrors.self) { try JSONFields(JSONValue(parsing: "[]")) }
  }
}
