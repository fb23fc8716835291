import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("Many mails on one call")
struct SendMessagesTests {
  private typealias Call = BidirectionalCall<Mailer.SendMessagesRequest, Mailer.SendMessagesResponse>

  private static func write(
    _ call: Call, _ reference: String, _ change: (inout Mailer.SendMessageRequest) -> Void = { _ in }
  ) async throws {
    try await call.write(
      Mailer.SendMessagesRequest {
        $0.reference = reference
        $0.message = MailerHarness.mail {
          $0.subject = "mail \(reference)"
          change(&$0)
        }
      })
  }

  private static func word(_ answer: Mailer.SendMessagesResponse?) -> String? {
    switch answer?.result {
    case .response(let response): response.status.word
    case .error(let status): RPCError(status).errorInfo?.reason
    case nil: nil
    }
  }

  /// All the rest, by reference.
  private static func answers(_ call: Call) async throws -> [String: String] {
    var answers: [String: String] = [:]
    for try await answer in call.responses { answers[answer.reference] = word(answer) }
    return answers
  }

  @Test("A batch answers each mail by its reference; one refused mail does not end it")
  func batch() async throws {
    try await MailerHarness.run { harness in
      let call = try harness.batch(Mailer.sendMessages)
      for number in 0..<5 { try await Self.write(call, "r\(number)") { if number == 2 { $0.to = [] } } }
      call.finishWriting()
      #expect(
        try await Self.answers(call)
          == ["r0": "success", "r1": "success", "r2": "invalid_request", "r3": "success", "r4": "success"])
    }
  }

  @Test("A reference of 255 bytes is given back; a longer one is its own mail's error, and the others are answered")
  func references() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      let call = try harness.batch(Mailer.sendMessages)
      let (longest, tooLong) = (String(repeating: "é", count: 127) + "x", String(repeating: "x", count: 256))
      try await Self.write(call, longest)
      try await harness.gmail.nextHeld()
      try await Self.write(call, tooLong)
      try await Self.write(call, "last") { $0.wait = ProtobufDuration(.zero) }
      call.finishWriting()
      #expect(try await harness.eventually { try harness.value("SELECT count(*) FROM email_logs") == "2" })
      harness.gmail.script = { _, _ in .success }
      harness.gmail.release()
      #expect(
        try await Self.answers(call) == [longest: "success", tooLong: "invalid_request", "last": "queued"])
    }
  }

  @Test("Answers come when they are known, in any order, while the call is still written to; all of it is bulk")
  func earlyAndUnordered() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      let call = try harness.batch(Mailer.sendMessages)
      var answers = call.responses.makeAsyncIterator()
      try await Self.write(call, "awaited")
      try await harness.gmail.nextHeld()
      try await Self.write(call, "not awaited") { $0.wait = ProtobufDuration(.zero) }
      let first = try await answers.next()
      #expect(first?.reference == "not awaited" && Self.word(first) == "queued")
      let classes = try harness.value("SELECT string_agg(class::text, ' ' ORDER BY id) FROM send_jobs")
      #expect(classes == "\(SendClass.bulkAwaited.rawValue) \(SendClass.bulk.rawValue)")
      harness.gmail.script = { _, _ in .success }
      harness.gmail.release()
      let second = try await answers.next()
      #expect(second?.reference == "awaited" && Self.word(second) == "success")
      call.finishWriting()
      #expect(try await answers.next() == nil)
    }
  }

  @Test("With 32 mails in hand the next is not read before one is answered")
  func limit() async throws {
    try await MailerHarness.run(users: ["ann", "bea"]) { harness in
      harness.gmail.script = { _, _ in .held }
      let call = try harness.batch(Mailer.sendMessages)
      for number in 1...MailerMethods.batchInFlight + 1 { try await Self.write(call, "\(number)") }
      call.finishWriting()
      let accepted = "SELECT count(*) FROM email_logs WHERE user_id = 'ann'"
      let isFull = try await harness.eventually { try harness.value(accepted) == "\(MailerMethods.batchInFlight)" }
      #expect(isFull)
      // What comes on another call is read, and kept.
      _ = try await harness.send(user: "bea") { $0.wait = ProtobufDuration(.zero) }
      #expect(try harness.value(accepted) == "\(MailerMethods.batchInFlight)")
      harness.gmail.script = { _, _ in .success }
      harness.gmail.release()
      let answers = try await Self.answers(call)
      #expect(answers.count == MailerMethods.batchInFlight + 1 && Set(answers.values) == ["success"])
    }
  }

  @Test("A caller who hangs up leaves behind mail that is kept and sent")
  func hangUp() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      let call = try harness.batch(Mailer.sendMessages)
      for number in 1...3 { try await Self.write(call, "\(number)") }
      #expect(try await harness.eventually { try harness.value("SELECT count(*) FROM email_logs") == "3" })
      try await harness.gmail.nextHeld()
      call.cancel()
      harness.gmail.script = { _, _ in .success }
      harness.gmail.release()
      let isSent = try await harness.eventually {
        try harness.value("SELECT count(*) FILTER (WHERE status = 'success') FROM email_logs") == "3"
      }
      #expect(isSent)
      #expect(harness.gmail.requests.count == 3)
    }
  }
}
