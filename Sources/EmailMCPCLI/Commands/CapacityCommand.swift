import ArgumentParser
import HTTPTypes
import TLSSession

struct CapacityCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capacity",
    abstract: "Prints what a user may still send this minute and today, and when the queue is expected to be empty.",
    discussion: "The API is at EMAILMCP_URL, the key in EMAILMCP_API_KEY.")

  @Option(help: "The platform's id of the user.")
  var user: String

  func run() async throws {
    try await APIClient().call(.get, "/v1/users/\(PercentText.encode(user))/capacity")
  }
}
