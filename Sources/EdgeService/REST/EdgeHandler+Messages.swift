import CivilTime
import HTTPServer
import HTTPTypes
import RPCRuntime
import ServiceContracts
import ServiceKit
import StrictJSON
import TLSSession

extension EdgeHandler {
  static let waits: ClosedRange<Int> = 0...60
  static let defaultWait = 30

  func sendMessage(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let key = try idempotencyKey(call)
    let prefersAsync = call.request.head.headerFields[values: .prefer].joined(separator: ",").split(separator: ",")
      .contains { $0.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }.lowercased() == "respond-async" }
    let asked = try call.wholeNumber("wait", in: Self.waits, of: " of seconds")
    let wait = prefersAsync ? 0 : asked ?? Self.defaultWait

    var message = try await mail(call, isKeyed: key != nil)
    message.wait = ProtobufDuration(.seconds(wait))
    message.idempotencyKey = key
    // The mailer answers within the wait; the rest is for accepting and for the way.
    let answer = try await backends.mailer.call(
      Mailer.sendMessage, message, options: backends.options(for: call, timeout: .seconds(wait + 15)))
    var response = try render(answer, call)
    if prefersAsync { response.head.headerFields[.preferenceApplied] = "respond-async" }
    if answer.replayed { response.head.headerFields[.idempotencyReplayed] = "true" }
    return response
  }

  /// The mail of a body, with the fingerprint that goes with an idempotency key. A large body takes as long as many small
  /// requests, and is read beside the loop.
  private func mail(_ call: EdgeCall, isKeyed: Bool) async throws -> Mailer.SendMessageRequest {
    let bytes = try await call.jsonBytes(upTo: EdgeCall.mailBody)
    let path = call.path
    return try await LargeMail.work(bytes: bytes.count, on: reactor) {
      var message = try SendBody.parse(try EdgeCall.parse(bytes, upTo: EdgeCall.mailBody))
      if isKeyed {
        var hash = SHA256()
        hash.update("POST \(path)\n".utf8)
        hash.update(bytes)
        message.idempotencyFingerprint = hash.finalize()
      }
      return message
    }
  }

  private func idempotencyKey(_ call: EdgeCall) throws -> String? {
    let values = call.request.head.headerFields[values: .idempotencyKey]
    guard let key = values.first else { return nil }
    guard values.count == 1, 1...255 ~= key.utf8.count, key.utf8.allSatisfy({ 0x20...0x7e ~= $0 }) else {
      throw Problem.invalid("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    }
    return key
  }

  private func render(_ answer: Mailer.SendMessageResponse, _ call: EdgeCall) throws -> HTTPServerResponse {
    switch answer.status {
    case .success:
      return .json { json in
        json.object { json in
          json.member("status", "success")
          json.member("id", answer.id)
          json.member("message_id", answer.messageID)
          json.member("thread_id", answer.threadID)
          json.member("provider", answer.provider.word ?? "gmail_api")
          json.member("from_email", answer.fromEmail)
          json.member("sent_at", answer.sentAt)
        }
      }
    case .queued, .scheduled, .sending:
      let location = "/v1/users/\(PercentText.encode(call.user?.text ?? ""))/messages/\(answer.id)"
      return .json(.accepted, headers: [.location: location]) { json in
        json.object { json in
          json.member("status", answer.status.word)
          json.member("id", answer.id)
          if answer.sendAt != nil { json.member("send_at", answer.sendAt) }
        }
      }
    default: throw ProblemTable.problem(for: answer)
    }
  }

  func listMessages(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.ListMessagesRequest()
    if let text = call.query["status"] {
      guard let status = MessageStatus(word: text) else {
        throw Problem.invalid("status", "must be one of \(MessageStatus.words.map { "\($0)" }.joined(separator: ", "))")
      }
      message.status = status
    }
    message.to = call.query["to"]
    message.subject = call.query["subject"]
    message.start = try DateParameter.parse(call.query, "start_date")
    message.end = try DateParameter.parse(call.query, "end_date")
    if let limit = try call.wholeNumber("limit", in: 1...200) { message.limit = Int32(limit) }
    message.cursor = call.query["cursor"] ?? ""
    let page = try await backends.mailer.call(Mailer.listMessages, message, options: backends.options(for: call))
    return .list("messages", of: page.messages, bytesEach: 512, next: page.nextCursor) { $0.message($1) }
  }

  func getMessage(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.GetMessageRequest()
    message.id = try messageID(call)
    let answer = try await backends.mailer.call(Mailer.getMessage, message, options: backends.options(for: call))
    guard let record = answer.message else { throw Problem.notFound }
    return .json { $0.message(record, isAlone: true) }
  }

  func cancelMessage(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.CancelMessageRequest()
    message.id = try messageID(call)
    _ = try await backends.mailer.call(Mailer.cancelMessage, message, options: backends.options(for: call))
    return HTTPServerResponse(.noContent)
  }

  /// What is no id of ours names nothing.
  private func messageID(_ call: EdgeCall) throws -> String {
    guard let id = call.parameters["id"].flatMap({ UniqueID($0) }) else { throw Problem.notFound }
    return id.description
  }
}
