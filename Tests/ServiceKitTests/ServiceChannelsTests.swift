import EventLoop
import Logging
import ServiceContracts
import TLSSession
import TestSupport
import Testing

@testable import RPCRuntime
@testable import ServiceKit

@Suite("How the processes call each other", .timeLimit(.minutes(1)))
struct ServiceChannelsTests {
  private func isRepeated(_ method: MethodDescriptor, _ peer: PeerService) -> Bool {
    if case .never = ServiceConfiguration.builtIn(for: peer).configuration(of: method).repetition { return false }
    return true
  }

  @Test("What only reads is repeated; what a lost answer may have done is not")
  func repetition() {
    #expect(isRepeated(OAuth.getProfile.descriptor, .oauth))
    #expect(isRepeated(Mailer.listMessages.descriptor, .mailer))
    #expect(isRepeated(Reports.getSummary.descriptor, .report))
    for method in [
      Mailer.sendMessage.descriptor, Mailer.sendMessages.descriptor, Mailer.cancelMessage.descriptor,
      OAuth.completeAuthorization.descriptor, OAuth.getAccessToken.descriptor, OAuth.disconnect.descriptor,
    ] {
      for peer in PeerService.allCases { #expect(!isRepeated(method, peer)) }
    }
  }

  @Test("Every replica gets calls, and dead connections are found within half a minute")
  func connections() throws {
    for peer in PeerService.allCases {
      let configuration = ChannelConfiguration.betweenServices(to: peer)
      #expect(configuration.service.balancing == .roundRobin)
      #expect(configuration.service.healthCheckedService == peer.service)
      let keepalive = try #require(configuration.keepalive)
      #expect(keepalive.time + keepalive.timeout <= .seconds(30))
      #expect(configuration.backoff.limit == .seconds(2))
    }
  }

  @Test("Failures in a row leave a replica out, but not where they may be Google's")
  func outliers() {
    #expect(ServiceConfiguration.builtIn(for: .mailer).outlierDetection?.consecutiveFailures == 5)
    #expect(ServiceConfiguration.builtIn(for: .report).outlierDetection?.consecutiveFailures == 5)
    #expect(ServiceConfiguration.builtIn(for: .oauth).outlierDetection == nil)
  }

  @Test("The service config that docs/OPERATIONS.md shows is the built-in one")
  func documented() throws {
    let page = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/docs/OPERATIONS.md"
    let parts = try readSettingFile(page).split(separator: "```json\n")
    let json = try #require(parts.dropFirst().first?.split(separator: "```").first)
    #expect(try ServiceConfiguration(json: String(json)) == .builtIn(for: .mailer))
  }

  @Test("A setting takes the place of the built-in service config; a wrong one is refused with its place")
  func setting() throws {
    var environment = [
      "EMAILMCP_RPC_TLS": "off", "EMAILMCP_CONTEXT_KEYS": Keyring(generating: "k1").revealedText,
      "EMAILMCP_OAUTH_SERVICE_CONFIG": #"{"methodConfig": [{"name": [{}], "timeout": "3s"}]}"#,
    ]
    let settings = Settings(environment)
    let rpc = RPCSettings(settings, of: "report")
    try settings.finish()
    let configuration = ChannelConfiguration.betweenServices(to: .oauth, policy: rpc.policies[.oauth]).service
    #expect(configuration.balancing == .pickFirst)
    #expect(configuration.configuration(of: OAuth.getProfile.descriptor).timeout == .seconds(3))
    #expect(rpc.policies[.mailer] == nil)

    environment["EMAILMCP_MAILER_SERVICE_CONFIG"] = #"{"methodConfig": [{"timeout": "3"}]}"#
    let wrong = Settings(environment)
    _ = RPCSettings(wrong, of: "report")
    let error = #expect(throws: SettingsError.self) { try wrong.finish() }
    #expect(
      "\(error!)".contains("EMAILMCP_MAILER_SERVICE_CONFIG is no gRPC service config: methodConfig[0].timeout must be"))
  }

  /// Every call of the method failed instead, with INTERNAL.
  @Test("A service config that hedges a method that is not marked as safe is refused with the method's name")
  func hedging() throws {
    var environment = ["EMAILMCP_RPC_TLS": "off", "EMAILMCP_CONTEXT_KEYS": Keyring(generating: "k1").revealedText]
    func config(_ name: String) -> String {
      #"{"methodConfig": [{"name": [{"service": "emailmcp.mailer.v1.Mailer"\#(name)}], "#
        + #""hedgingPolicy": {"maxAttempts": 2}}]}"#
    }
    // For a whole service it is for those that are marked.
    environment["EMAILMCP_MAILER_SERVICE_CONFIG"] = config("")
    let settings = Settings(environment)
    _ = RPCSettings(settings, of: "edge")
    try settings.finish()

    environment["EMAILMCP_MAILER_SERVICE_CONFIG"] = config(#", "method": "SendMessage""#)
    let wrong = Settings(environment)
    _ = RPCSettings(wrong, of: "edge")
    let error = #expect(throws: SettingsError.self) { try wrong.finish() }
    #expect("\(error!)".contains("EMAILMCP_MAILER_SERVICE_CONFIG hedges emailmcp.mailer.v1.Mailer/SendMessage, which"))
  }

  @Test("A replica that says it takes no calls gets none, and gets them again; its lack of a peer does not matter")
  func health() async throws {
    try await onLoop { reactor in
      func makeReplica(_ number: Int) async throws -> (readiness: Readiness, server: RPCServer, address: SocketAddress)
      {
        let readiness = Readiness()
        let service = ServiceLoop(
          reactor: reactor, index: 0, count: 1, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
          readiness: readiness, metrics: MetricsRegistry())
        let rpc = RPCSettings(identity: .none, contextKeys: Keyring(generating: "k1"))
        let server = service.makeRPCServer(rpc, services: [PeerService.report.service])
        server.handle(Who.call) { _, _ in HealthCheckResponse(ServingStatus(rawValue: Int32(number))) }
        readiness.started()
        return (readiness, server, try await server.listen(on: "127.0.0.1:0"))
      }
      let replicas = [try await makeReplica(10), try await makeReplica(11)]
      let target = try ChannelTarget("ipv4:\(replicas[0].address),\(replicas[1].address)")
      let channel = RPCChannel(to: target, on: reactor, configuration: .betweenServices(to: .report))
      func answering() async throws -> Set<Int32> {
        var seen: Set<Int32> = []
        for _ in 0..<8 {
          seen.insert(
            try await channel.call(Who.call, HealthCheckRequest(), options: CallOptions(waitForReady: true)).status
              .rawValue)
        }
        return seen
      }
      func wait(for expected: Set<Int32>) async throws {
        while try await answering() != expected { try await reactor.sleep(for: .milliseconds(1)) }
      }
      try await wait(for: [10, 11])
      replicas[0].readiness.set("postgres", reason: "is not to be reached")
      try await wait(for: [11])
      replicas[0].readiness.set("postgres", reason: nil)
      try await wait(for: [10, 11])
      replicas[0].readiness.expect("oauth", isVital: false)
      #expect(!replicas[0].readiness.isReady)
      #expect(try await answering() == [10, 11])
      // All of them: callers are told at once.
      for replica in replicas { replica.readiness.drain() }
      while channel.state == .ready { try await reactor.sleep(for: .milliseconds(1)) }
      let error = await #expect(throws: RPCError.self) { try await channel.call(Who.call, HealthCheckRequest()) }
      #expect(error?.code == .unavailable)
      channel.close()
      for replica in replicas { await replica.server.drain(within: .seconds(1)) }
    }
  }
}

/// Which replica answers, as a status that nobody has.
private enum Who {
  static let call = UnaryMethod<HealthCheckRequest, HealthCheckResponse>("grpc.health.v1.Health", "Who")
}
