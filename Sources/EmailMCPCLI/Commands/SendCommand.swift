import ArgumentParser
import HTTPTypes
import StrictJSON
import TLSSession

struct SendCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send", abstract: "Sends a mail from a user's connected account, by the REST API.",
    discussion: "The API is at EMAILMCP_URL, the key in EMAILMCP_API_KEY.")

  @Option(help: "The platform's id of the user.")
  var user: String

  @Option(help: "A recipient; may be given more than once.")
  var to: [String]

  @Option(help: "The subject.")
  var subject = ""

  @Option(help: "The text.")
  var body: String

  @Option(help: "Makes a repetition of this command harmless: the same key sends once.")
  var idempotencyKey: String?

  func run() async throws {
    var json = JSONWriter()
    json.object { json in
      json.member("to") { $0.array(of: to) { $0.value($1) } }
      json.member("subject", subject)
      json.member("body", body)
    }
    var headers = HTTPFields()
    if let idempotencyKey { headers[HTTPField.Name("Idempotency-Key")!] = idempotencyKey }
    try await APIClient().call(
      .post, "/v1/users/\(PercentText.encode(user))/messages", body: json.finish(), headers: headers)
  }
}
