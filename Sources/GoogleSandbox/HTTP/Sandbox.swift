import CivilTime
import HTTPTypes
import StrictJSON
import TLSSession

/// The whole stand-in on one loop: its state, and a method for each route.
///
/// Not Sendable. Routes are plain functions from a request to an answer; delays and closed connections are told in the answer and acted
/// out by the server's side.
final class Sandbox {
  struct Configuration: Sendable {
    var client: OAuthClient
    var issuer = "https://accounts.google.com"
    /// Where the state is kept between runs; nil keeps it in memory.
    var dataFolder: String?
  }

  let configuration: Configuration
  let signingKey: SigningKey
  var grants = GrantStore()
  var mailbox: Mailbox
  var faults = FaultPlan()
  let journal: Journal?
  private let clock: () -> Timestamp

  /// Takes up what the journal of an earlier run holds.
  ///
  /// - Parameter key: to sign with where there is no folder that holds one; made when nil.
  init(
    _ configuration: Configuration, key: SigningKey? = nil, clock: @escaping () -> Timestamp = Timestamp.now
  ) throws {
    self.configuration = configuration
    self.clock = clock
    mailbox = Mailbox(seed: UInt64(clock().microseconds))
    guard let folder = configuration.dataFolder else {
      journal = nil
      signingKey = try key ?? SigningKey.generate()
      return
    }
    let journal = try Journal(folder: folder)
    self.journal = journal
    signingKey = try journal.signingKey()
    try journal.replay(into: self)
  }

  var now: Timestamp { clock() }

  func answer(_ request: SandboxRequest) -> SandboxAnswer {
    switch (request.method, request.path) {
    case (.get, "/o/oauth2/v2/auth"): authorizePage(request)
    case (.post, "/o/oauth2/v2/auth"): authorizeDecision(request)
    case (.post, "/token"): token(request)
    case (.post, "/revoke"): revoke(request)
    case (.get, "/oauth2/v3/certs"): certificates()
    case (.get, "/.well-known/openid-configuration"): discovery(request)
    case (.get, "/platform/callback"): platformCallback(request)
    case (.get, "/"), (.get, "/inbox"): inboxPage(request)
    case (.get, "/healthz"), (.get, "/readyz"): .text(200, "ok")
    case (_, let path) where path.hasPrefix("/gmail/v1/users/"): gmail(request, path.dropFirst(16), isUpload: false)
    case (_, let path) where path.hasPrefix("/upload/gmail/v1/users/"):
      gmail(request, path.dropFirst(23), isUpload: true)
    case (.get, let path) where path.hasPrefix("/inbox/"): messagePage(String(path.dropFirst(7)))
    case (_, let path) where path.hasPrefix("/sandbox/"): control(request, path.dropFirst(9))
    default: .text(404, "not found")
    }
  }

  /// Carries a request out, or lets the fault happen that is planned for it.
  ///
  /// - Parameter refusal: the route's own shape of an error answer.
  func underFaults(
    _ route: Fault.Route, account: String?, refusal: (Fault) -> SandboxAnswer, _ perform: () -> SandboxAnswer
  ) -> SandboxAnswer {
    guard !faults.isEmpty, let fault = faults.fault(for: route, account: account, dice: Self.dice) else {
      return perform()
    }
    var answer = fault.isCarriedOut ? perform() : SandboxAnswer(status: 500)
    if fault.status != nil { answer = refusal(fault) }
    if let retryAfter = fault.retryAfter { answer.fields[.retryAfter] = retryAfter }
    answer.delay = fault.delay
    answer.closes = fault.closes
    return answer
  }

  private static func dice() -> Double { Double.random(in: 0..<1) }
}
