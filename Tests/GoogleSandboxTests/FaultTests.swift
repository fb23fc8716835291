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

  @Test("The first that matches happens, as often as it says, then the next")
  func order() throws {
    try fixture.addFault(#"{"route":"token","status":500}"#)
    try fixture.addFault(#"{"route":"send","account":"ADA@example.com","status":503,"count":2}"#)
    try fixture.addFault(#"{"status":429}"#)
    let statuses = try (0..<4).map { _ in try send().status }
    #expect(statuses == [503, 503, 429, 200])
    let faults = try #require(try fixture.request(.get, "/sandbox/faults").value["faults"]?.arrayValue)
    #expect(faults.map { $0["fired"]?.int64Value } == [0, 2, 1])
    #expect(faults.map { $0["left"]?.int64Value } == [1, 0, 0])
  }

  @Test("A request that is refused before its account is known uses no fault up")
  func unauthorized() throws {
    try fixture.addFault(#"{"route":"send","status":503}"#)
    #expect(try fixture.send(SandboxFixture.plainMail, token: "wrong").status == 401)
    #expect(try send().status == 503)
  }

  @Test("One fault is taken away by its number, and the others stay")
  func removal() throws {
    for status in [500, 502] { try fixture.addFault("{\"route\":\"send\",\"status\":\(status),\"count\":0}") }
    #expect(try fixture.request(.delete, "/sandbox/faults/2").status == 204)
    #expect(try fixture.request(.delete, "/sandbox/faults/2").status == 404)
    #expect(try send().status == 500)
    let added = try fixture.request(.post, "/sandbox/faults", body: Array(#"{"route":"send","status":503}"#.utf8))
    #expect(try added.value["id"]?.int64Value == 3, "numbers are given once")
    #expect(try fixture.request(.delete, "/sandbox/faults/1").status == 204)
    #expect(try send().status == 503)
  }

  @Test("A fault of any route happens to each", arguments: ["token", "revoke", "certs", "authorize"])
  func everywhere(route: String) throws {
    for name in ["any", route] {
      try fixture.addFault("{\"route\":\"\(name)\",\"status\":418}")
      let answer =
        switch route {
        case "token": try fixture.refresh("anything")
        case "revoke": try fixture.post("/revoke", form: [("token", "anything")])
        case "certs": try fixture.request(.get, "/oauth2/v3/certs")
        default: try fixture.request(.get, SandboxFixture.authorization())
        }
      #expect(answer.status == 418)
    }
  }

  @Test("The longest delay is ten minutes", arguments: [(600_000, 201), (600_001, 400)])
  func longestDelay(_ milliseconds: Int, _ status: Int) throws {
    #expect(
      try fixture.request(.post, "/sandbox/faults", body: Array("{\"delay_ms\":\(milliseconds)}".utf8)).status == status
    )
  }

  @Test("A fault with a probability happens as the dice say")
  func probability() throws {
    var plan = FaultPlan()
    _ = plan.add(try Fault(json: ["status": 500, "count": 0, "probability": .number(JSONNumber(0.25)!)]))
    #expect(plan.fault(for: .send, account: nil, dice: { 0.24 }) != nil)
    #expect(plan.fault(for: .send, account: nil, dice: { 0.25 }) == nil)
    _ = plan.add(try Fault(json: ["status": 503]))
    #expect(plan.fault(for: .send, account: nil, dice: { 0.25 })?.status == 503, "the next may happen instead")
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
