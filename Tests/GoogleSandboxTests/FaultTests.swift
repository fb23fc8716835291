import HTTPTypes
import StrictJSON
import Testing

@testable import GoogleSandbox

struct FaultTests {
  private let fixture: SandboxFixture
  private let token: String

  init() throws {
    fixture = try SandboxFixture()
    token = try #require(try fixture.connect()["access_token"]?.stringValue)
  }

  private func send() throws -> SandboxAnswer { try fixture.send(SandboxFixture.plainMail, token: token) }
  private var accepted: Int { fixture.sandbox.mailbox.acceptedCount }

  @Test("A status happens once, in Google's shape, with the time to come back at, and the mail is not taken")
  func status() throws {
    try fixture.addFault(
      """
      {"route":"send","status":429,"reason":"userRateLimitExceeded","retry_after":"30",
       "message":"User-rate limit exceeded.  Retry after 2026-11-22T20:00:00.000Z (Mail sending)"}
      """)
    let answer = try send()
    #expect(answer.status == 429)
    #expect(answer.reason == "userRateLimitExceeded")
    #expect(answer.fields[.retryAfter] == "30")
    let error = try #require(try answer.value["error"])
    #expect(error["status"]?.stringValue == "RESOURCE_EXHAUSTED")
    #expect(error["errors"]?.arrayValue?.first?["domain"]?.stringValue == "usageLimits")
    #expect(accepted == 0)
    #expect(try send().status == 200)
  }

  @Test("The mail is taken and the connection closes, or closes before it is taken")
  func close() throws {
    try fixture.addFault(#"{"route":"send","close":true,"accept":true}"#)
    #expect(try send().closes)
    #expect(accepted == 1)
    try fixture.addFault(#"{"route":"send","close":true}"#)
    #expect(try send().closes)
    #expect(accepted == 1)
  }

  @Test("The mail is taken and a 503 is told all the same")
  func acceptAndFail() throws {
    try fixture.addFault(#"{"route":"send","status":503,"accept":true}"#)
    #expect(try send().status == 503)
    #expect(accepted == 1)
  }

  @Test("A delay alone changes nothing else")
  func delay() throws {
    try fixture.addFault(#"{"delay_ms":250,"count":2}"#)
    let answers = [try send(), try send(), try send()]
    #expect(answers.map(\.delay) == [.milliseconds(250), .milliseconds(250), .zero])
    #expect(answers.map(\.status) == [200, 200, 200])
  }

  @Test("A fault for another account or route does not happen")
  func scope() throws {
    try fixture.addFault(#"{"route":"send","account":"bob@example.com","status":500}"#)
    try fixture.addFault(#"{"route":"token","status":400,"reason":"invalid_grant","subtype":"invalid_rapt"}"#)
    #expect(try send().status == 200)
    let refusal = try fixture.refresh("anything").value
    #expect(refusal["error"]?.stringValue == "invalid_grant")
    #expect(refusal["error_subtype"]?.stringValue == "invalid_rapt")
  }

  @Test("Count 0 goes on until the faults are taken away; the list tells how often")
  func endless() throws {
    try fixture.addFault(#"{"route":"send","status":500,"count":0}"#)
    for _ in 0..<5 { #expect(try send().status == 500) }
    let fault = try fixture.request(.get, "/sandbox/faults").value["faults"]?.arrayValue?.first
    #expect(fault?["fired"]?.int64Value == 5)
    #expect(try fixture.request(.delete, "/sandbox/faults").status == 204)
    #expect(try send().status == 200)
  }

  @Test("A fault with a probability happens as the dice say")
  func probability() throws {
    var plan = FaultPlan()
    _ = plan.add(try Fault(json: ["status": 500, "count": 0, "probability": .number(JSONNumber(0.25)!)]))
    #expect(plan.fault(for: .send, account: nil, dice: { 0.24 }) != nil)
    #expect(plan.fault(for: .send, account: nil, dice: { 0.25 }) == nil)
  }

  @Test(
    "What makes no sense is refused with the field's name",
    arguments: [
      #"{"route":"inbox"}"#, #"{"status":99}"#, #"{"status":500,"close":true}"#, #"{"accept":false}"#,
      #"{"probability":2}"#,
      #"{"sttus":500}"#, #"{"delay_ms":-1}"#, "[]", "x",
    ])
  func invalid(_ json: String) throws {
    #expect(try fixture.request(.post, "/sandbox/faults", body: Array(json.utf8)).status == 400)
  }

  @Test("A reset forgets mails and faults and keeps the grants, unless it is told otherwise")
  func reset() throws {
    _ = try send()
    try fixture.addFault(#"{"status":500,"count":0}"#)
    #expect(try fixture.request(.post, "/sandbox/reset").status == 204)
    #expect(accepted == 0)
    #expect(try send().status == 200)
    _ = try fixture.request(.post, "/sandbox/reset?grants=true")
    #expect(try send().status == 401)
  }
}
