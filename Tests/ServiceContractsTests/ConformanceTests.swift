import Foundation
import RPCRuntime
import ServiceContracts
import Testing
import WireCodec

@Suite(.serialized) struct ConformanceTests {
  /// The same messages every time; `EMAILMCP_TEST_SEED` asks for others.
  static let seed = ProcessInfo.processInfo.environment["EMAILMCP_TEST_SEED"].flatMap { UInt32($0) } ?? 1

  @Test("every message and method of the schemas is written, and every message agrees with the official runtime")
  func everything() throws {
    let faults = try WireJudge.faults(
      messages: Inventory.messages, methods: Inventory.methods, inventory: true, count: 60, seed: Self.seed)
    #expect(faults == [])
  }

  @Test(
    "the judge finds a message that was written wrongly",
    arguments: [
      (SwappedNumbers.self, "property email reads"),
      (MissingField.self, "no such property"),
      (LostPresence.self, "present with its default"),
      (WrongType.self, "property count reads"),
      (WrongName.self, "property emailadress reads"),
      (MissingMember.self, "error = 3"),
      (AlwaysWritten.self, "empty"),
      (ReplacedChild.self, "two messages behind one another"),
      (FirstWins.self, "two messages behind one another"),
      (LooseNumbersOnly.self, "numbers"),
    ] as [(any WireMessage.Type, String)])
  func detection(_ wrong: any WireMessage.Type, _ complaint: String) throws {
    let faults = try WireJudge.faults(messages: [wrong], methods: [], inventory: false, count: 6, seed: 1)
    #expect(faults.contains { $0.contains(complaint) }, "\(faults)")
  }

  @Test("the list of the services' methods has all of them")
  func methods() {
    let written = Inventory.methods.map { $0.prefix { $0 != " " } }.filter { $0.hasPrefix("emailmcp.") }
    #expect(ServiceMethods.all.map(\.fullName).sorted() == written.map(String.init).sorted())
  }

  @Test("the judge finds a message and a method that are missing")
  func missing() throws {
    let faults = try WireJudge.faults(
      messages: Array(Inventory.messages.dropFirst()), methods: Array(Inventory.methods.dropFirst()), inventory: true,
      count: 0, seed: 1)
    #expect(faults.contains("emailmcp.common.v1.CallContext: this message of the schemas is not written"))
    #expect(faults.contains { $0.hasPrefix("emailmcp.oauth.v1.OAuth/StartAuthorization unary") })
  }
}

private struct SwappedNumbers: WireMessage {
  static let wireName = "emailmcp.mailer.v1.Address"
  var email = ""
  var name = ""
  func encode(into w: inout WireWriter) {
    w.string(1, name)
    w.string(2, email)
  }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&name)
    case 2: try r.string(&email)
    default: try r.skip()
    }
  }
}

private struct MissingField: WireMessage {
  static let wireName = "emailmcp.mailer.v1.Address"
  var email = ""
  func encode(into w: inout WireWriter) { w.string(1, email) }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&email)
    default: try r.skip()
    }
  }
}

private struct LostPresence: WireMessage {
  static let wireName = "emailmcp.common.v1.TimelineEvent"
  var at: ProtobufTimestamp?
  var event = TimelineEvent.Kind.unspecified
  var detail = ""
  func encode(into w: inout WireWriter) {
    w.message(1, at)
    w.enum(2, event)
    w.string(3, detail)
  }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.message(&at)
    case 2: try r.enum(&event)
    case 3: try r.string(&detail)
    default: try r.skip()
    }
  }
}

private struct WrongType: WireMessage {
  static let wireName = "emailmcp.report.v1.RecipientCount"
  var email = ""
  var count: Int64 = 0
  func encode(into w: inout WireWriter) {
    w.string(1, email)
    w.sint64(2, count)
  }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&email)
    case 2: try r.sint64(&count)
    default: try r.skip()
    }
  }
}

private struct WrongName: WireMessage {
  static let wireName = "emailmcp.report.v1.SenderCount"
  var userID = ""
  var emailAdress: String?
  var count: Int64 = 0
  func encode(into w: inout WireWriter) {
    w.string(1, userID)
    w.string(2, emailAdress)
    w.int64(3, count)
  }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&userID)
    case 2: try r.string(&emailAdress)
    case 3: try r.int64(&count)
    default: try r.skip()
    }
  }
}

private struct MissingMember: WireMessage {
  static let wireName = "emailmcp.mailer.v1.SendMessagesResponse"
  enum Result { case response(Mailer.SendMessageResponse) }
  var reference = ""
  var result: Result?
  func encode(into w: inout WireWriter) {
    w.string(1, reference)
    if case .response(let value) = result { w.message(2, value) }
  }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&reference)
    case 2: if let value = try r.message(over: nil as Mailer.SendMessageResponse?) { result = .response(value) }
    default: try r.skip()
    }
  }
}

private struct AlwaysWritten: WireMessage {
  static let wireName = "emailmcp.mailer.v1.CancelMessageRequest"
  var id = ""
  func encode(into w: inout WireWriter) { w.string(1, Optional(id)) }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&id)
    default: try r.skip()
    }
  }
}

private struct ReplacedChild: WireMessage {
  static let wireName = "emailmcp.common.v1.TimelineEvent"
  var at: ProtobufTimestamp?
  var event = TimelineEvent.Kind.unspecified
  var detail: String?
  func encode(into w: inout WireWriter) {
    w.message(1, at)
    w.enum(2, event)
    w.string(3, detail)
  }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1:
      // What came before is forgotten, not merged.
      at = nil
      try r.message(&at)
    case 2: try r.enum(&event)
    case 3: try r.string(&detail)
    default: try r.skip()
    }
  }
}

private struct FirstWins: WireMessage {
  static let wireName = "emailmcp.mailer.v1.Address"
  var email = ""
  var name = ""
  func encode(into w: inout WireWriter) {
    w.string(1, email)
    w.string(2, name)
  }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1 where email.isEmpty: try r.string(&email)
    case 2 where name.isEmpty: try r.string(&name)
    default: try r.skip()
    }
  }
}

private struct LooseNumbersOnly: WireMessage {
  static let wireName = "grpc.reflection.v1.ExtensionNumberResponse"
  var baseTypeName = ""
  var extensionNumber: [Int32] = []
  func encode(into w: inout WireWriter) {
    w.string(1, baseTypeName)
    w.int32s(2, extensionNumber)
  }
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&baseTypeName)
    case 2:
      var one: Int32?
      try r.int32(&one)
      if let one { extensionNumber.append(one) }
    default: try r.skip()
    }
  }
}
