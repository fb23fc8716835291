import CivilTime
import EventLoop
import Logging
import RPCRuntime
import ServiceContracts
import ServiceKit
import TLSSession
import TestSupport
import Testing
import WireCodec

@Suite("Service loop")
struct ServiceLoopTests {
  private let keys = Keyring(generating: "k1")

  private func rpcSettings() throws -> RPCSettings {
    let settings = Settings(["EMAILMCP_RPC_TLS": "off", "EMAILMCP_CONTEXT_KEYS": keys.revealedText])
    let rpc = RPCSettings(settings, of: "report")
    try settings.finish()
    return rpc
  }

  private func withLoop(_ body: @Sendable (ServiceLoop) async throws -> Void) async throws {
    try await onLoop { reactor in
      try await body(
        ServiceLoop(
          reactor: reactor, index: 0, count: 1, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
          readiness: Readiness(), metrics: MetricsRegistry()))
    }
  }

  @Test("No connection stays for ever, called on or not, and an old one leaves an export its time")
  func connections() async throws {
    let rpc = try rpcSettings()
    try await withLoop { loop in
      let policy = loop.makeRPCServer(rpc, services: []).configuration.connections
      #expect(policy.maxAge != nil && policy.maxIdle != nil)
      let grace = try #require(policy.maxAgeGrace)
      #expect(grace > .seconds(600))
    }
  }

  @Test("A call without a valid context is refused, one with it reaches the handler, health needs none")
  func contexts() async throws {
    let rpc = try rpcSettings()
    let signer = ContextSigner(keys: keys, issuer: "edge")
    let stranger = ContextSigner(keys: Keyring(generating: "k1"), issuer: "edge")
    try await withLoop { loop in
      let server = loop.makeRPCServer(rpc, services: ["emailmcp.report.v1.Reports"])
      server.handle(Reports.getSummary) {
        (_: Reports.GetSummaryRequest, context: ServerContext) async throws -> Reports.GetSummaryResponse in
        guard context.attached(CallContext.self)?.tenantID == "acme", LogContext.current?.requestID == "r-1" else {
          throw RPCError(.internal, "the handler sees another context")
        }
        return Reports.GetSummaryResponse()
      }
      let address = try await server.listen(on: "127.0.0.1:0")
      // As a stranger would, who does not ask for health: this process is not ready yet.
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: loop.reactor)
      let context = CallContext { $0.tenantID = "acme" }

      func call(_ metadata: Metadata) async -> StatusCode {
        do throws(RPCError) {
          _ = try await channel.call(
            Reports.getSummary, Reports.GetSummaryRequest(), options: CallOptions(metadata: metadata))
          return .ok
        } catch {
          return error.code
        }
      }
      #expect(await call(Metadata()) == .unauthenticated)
      #expect(await call(stranger.metadata(for: context)) == .unauthenticated)
      let hour = Timestamp.now() - .seconds(3600)
      #expect(loop.readiness.clock.judge(now: .now(), byDatabase: hour) == nil)
      #expect(await call(signer.metadata(for: context, now: hour)) == .unauthenticated)
      #expect(loop.readiness.clock.judge(now: .now(), byDatabase: hour) != nil)
      let metadata = LogContext.$current.withValue(LogContext(requestID: "r-1")) { signer.metadata(for: context) }
      #expect(await call(metadata) == .ok)

      let health = HealthCheckRequest { $0.service = "emailmcp.report.v1.Reports" }
      #expect(try await channel.call(Health.check, health).status == .notServing)
      loop.readiness.started()
      #expect(try await channel.call(Health.check, health).status == .serving)
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  @Test("A dependency that comes back makes the process ready again")
  func checks() async throws {
    try await withLoop { loop in
      loop.readiness.started()
      var isThere = false
      let attempts = Latch()
      loop.check("postgres", every: .milliseconds(1)) {
        if !isThere { throw SystemError("connect", 111) }
        attempts.open()
      }
      #expect(!loop.readiness.isReady)
      isThere = true
      await attempts.wait()
      while !loop.readiness.isReady { try await loop.reactor.sleep(for: .milliseconds(1)) }
      #expect(loop.readiness.reasons == [:])
      isThere = false
      while loop.readiness.isReady { try await loop.reactor.sleep(for: .milliseconds(1)) }
      #expect(loop.readiness.reasons == ["postgres": "is not to be reached"])
      loop.stopChecks()
    }
  }
}
