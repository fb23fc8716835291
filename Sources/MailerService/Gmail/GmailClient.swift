import CivilTime
import EventLoop
import HTTPSClient
import HTTPTypes
import RPCRuntime
import ServiceKit
import StrictJSON

/// Gmail's `users.messages.send`, and the classes of its answers. On one loop.
///
/// The reference: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send
final class GmailClient {
  struct Request {
    /// The mail as built.
    var mail: [UInt8]
    var threadID: String?
    var accessToken: String
    /// For the whole request.
    var timeout: Duration
    /// No byte of the mail leaves when none has by then.
    var notAfter: ContinuousClock.Instant?
  }

  private let http: HTTPSClient
  private let tracer: Tracer?
  private let scheme: String
  private let authority: String

  /// - Parameter origin: scheme, host and port, e.g. `https://gmail.googleapis.com`.
  init(http: HTTPSClient, origin: String, tracer: Tracer? = nil) {
    self.http = http
    self.tracer = tracer
    let parts = origin.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: true)
    scheme = String(parts.first?.dropLast() ?? "https")
    authority = parts.count > 1 ? String(parts[1]) : ""
  }

  /// Sends once. Every way in which it can end is a verdict.
  func send(_ request: Request) async -> GmailVerdict {
    let form = GmailForm(mail: request.mail, threadID: request.threadID)
    var head = HTTPRequest(method: .post, scheme: scheme, authority: authority, path: form.path)
    head.headerFields[.authorization] = "Bearer \(request.accessToken)"
    head.headerFields[.contentType] = form.contentType
    head.headerFields[.accept] = "application/json"
    var options = HTTPSClient.Options()
    options.timeout = request.timeout
    options.notAfter = request.notAfter
    options.maxBodyBytes = 256 << 10
    let span = tracer?.startRequest(method: "POST", authority: authority)
    do throws(HTTPSClientError) {
      let response = try await http.send(head, body: form.body, options: options)
      span?.end(status: response.head.status.code)
      let observation = GmailObservation(
        delivery: .answered, status: response.head.status.code,
        retryAfter: response.head.headerFields[.retryAfter], answer: GmailAnswer(json: response.body))
      return GmailVerdict(observation, now: .now())
    } catch {
      span?.end(failure: "\(error.code)")
      return GmailVerdict(Self.observation(of: error), now: .now())
    }
  }

  static func observation(of error: HTTPSClientError) -> GmailObservation {
    let delivery: GmailObservation.Delivery =
      switch error.observation.delivery {
      case .notSent: .notSent
      case .notProcessed: .notProcessed
      case .unknown: .unknown
      case .answered: .answered
      }
    return GmailObservation(delivery: delivery, failure: "\(error.code)", status: error.observation.status)
  }
}

/// The three forms in which Gmail takes a mail.
struct GmailForm {
  /// The JSON form takes about 5 MB in all, and base64url makes 4 bytes of 3.
  static let largestJSON = 3_500_000

  let path: String
  let contentType: String
  let body: RequestBody

  init(mail: [UInt8], threadID: String?) {
    if mail.count <= Self.largestJSON {
      path = "/gmail/v1/users/me/messages/send"
      contentType = "application/json"
      body = RequestBody(Self.json(mail, threadID))
    } else if let threadID {
      path = "/upload/gmail/v1/users/me/messages/send?uploadType=multipart"
      // Unguessable, so that no text in the mail can hold it.
      let boundary =
        "emailmcp-\(String(UInt64.random(in: 0 ... .max), radix: 36))\(String(UInt64.random(in: 0 ... .max), radix: 36))"
      contentType = "multipart/related; boundary=\(boundary)"
      var metadata = Array("--\(boundary)\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{\"threadId\":".utf8)
      metadata += JSONValue.string(threadID).encoded()
      metadata += Array("}\r\n--\(boundary)\r\nContent-Type: message/rfc822\r\n\r\n".utf8)
      body = RequestBody(chunks: [metadata, mail, Array("\r\n--\(boundary)--\r\n".utf8)])
    } else {
      path = "/upload/gmail/v1/users/me/messages/send?uploadType=media"
      contentType = "message/rfc822"
      body = RequestBody(mail)
    }
  }

  private static func json(_ mail: [UInt8], _ threadID: String?) -> [UInt8] {
    var json: [UInt8] = []
    json.reserveCapacity(mail.count / 3 * 4 + 128)
    json += "{\"raw\":\"".utf8
    MailBase64.appendURLSafe(mail, to: &json)
    json.append(UInt8(ascii: "\""))
    if let threadID {
      json += ",\"threadId\":".utf8
      json += JSONValue.string(threadID).encoded()
    }
    json.append(UInt8(ascii: "}"))
    return json
  }
}
