import EventLoop
import Logging
import RPCRuntime
import StrictJSON
import TLSSession
import Testing

@testable import ServiceKit

@Suite("The admin port's page about RPC", .timeLimit(.minutes(1)))
struct RPCPageTests {
  private static func serviceLoop(_ reactor: Reactor) -> ServiceLoop {
    ServiceLoop(
      reactor: reactor, index: 0, count: 1, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
      readiness: Readiness(), metrics: MetricsRegistry())
  }

  private static let rpc = RPCSettings(identity: .none, contextKeys: Keyring(generating: "k1"))

  private static func text(_ loops: [LoopReport?], _ path: String) -> String {
    String(decoding: RPCPage(path: path)?.answer(loops).body ?? [], as: UTF8.self)
  }

  @Test("Servers, connections, channels and subchannels of a loop, as text and as JSON")
  func page() async throws {
    let loop = try EventLoop.start(name: "test")
    try await loop.run { reactor in
      let service = Self.serviceLoop(reactor)
      let server = service.makeRPCServer(Self.rpc, services: [PeerService.report.service])
      service.readiness.started()
      let address = try await server.listen(on: "127.0.0.1:0")
      let channel = try service.makeChannel(to: .report, at: ChannelTarget("ipv4:\(address)"), Self.rpc)
      _ = try await channel.call(
        Health.check, HealthCheckRequest(service: ""), options: CallOptions(waitForReady: true))
      let sources = RPCReportSources()
      sources.add(service)
      let reports = await sources.gather(on: reactor)

      let lines = Self.text(reports, "/rpc").split(separator: "\n")
      #expect(lines.prefix(2) == ["rpc loops_total=1", "  loop index=0 answers=true"])
      #expect(lines.contains { $0.hasPrefix("    server listening=\(address) draining=false calls=1 ") })
      #expect(lines.contains { $0.hasPrefix("      connection peer=127.0.0.1:") && $0.contains(" keepalive=waiting") })
      #expect(lines.contains { $0.contains("stream id=1 method=grpc.health.v1.Health/Watch ") })
      #expect(lines.contains { $0.hasPrefix("    channel target=ipv4:\(address) state=ready balancing=round_robin ") })
      #expect(lines.contains("      subchannel address=\(address) state=ready serving=true ejected=false"))

      let json = try JSONValue(parsing: Self.text(reports, "/rpc.json"))
      let first = try #require(json.objectValue?["loops"]?.arrayValue?.first?.objectValue)
      let shown = try #require(first["servers"]?.arrayValue?.first?.objectValue)
      #expect(shown["connections_total"]?.int64Value == 1)
      #expect(shown["connections"]?.arrayValue?.count == 1)
      // A list that is empty is there all the same.
      #expect(first["channels"]?.arrayValue?.first?.objectValue?["draining"]?.arrayValue == [])
      let subchannel = first["channels"]?.arrayValue?.first?.objectValue?["subchannels"]?.arrayValue?.first?.objectValue
      #expect(subchannel?["connections"]?.arrayValue?.first?.objectValue?["peer"]?.stringValue == address.description)
      channel.close()
      await server.drain(within: .seconds(1))
    }
    await loop.shutdown()
  }

  @Test("A loop that does not answer is said not to, and holds nothing up")
  func silentLoop() async throws {
    let (loop, silent) = (try EventLoop.start(name: "test"), try EventLoop.start(name: "silent"))
    let sources = RPCReportSources()
    await silent.run { sources.add(Self.serviceLoop($0)) }
    await silent.shutdown()
    await loop.run { reactor in
      sources.add(Self.serviceLoop(reactor))
      let reports = await sources.gather(on: reactor, patience: .milliseconds(50))
      #expect(reports.map { $0 == nil } == [true, false])
      #expect(Self.text(reports, "/rpc").contains("loop index=0 answers=false\n  loop index=1 answers=true"))
    }
    await loop.shutdown()
  }

  @Test("What holds spaces or quotes is quoted, so that a line can be taken apart")
  func words() {
    var node = RPCNode("thing", "things")
    node.add("plain", "spiffe://emailmcp/edge")
    node.add("spaced", "CN=a b,O=\"x\"")
    node.add("empty", "")
    node.add("age", .milliseconds(1_234) + .microseconds(567))
    #expect(node.text == #"thing plain=spiffe://emailmcp/edge spaced="CN=a b,O=\"x\"" empty="" age_s=1.235"# + "\n")
    #expect(RPCPage(path: "/metrics") == nil)
  }
}
