import EventLoop
import ServiceContracts
import TLSSession
import TestSupport
import Testing

@testable import RPCRuntime

@Suite("Who may call the services, by certificate", .timeLimit(.minutes(1)))
struct PeerListTests {
  /// Of every other method it is the edge.
  private static let ofMailer = ["emailmcp.oauth.v1.OAuth/GetAccessToken", "emailmcp.oauth.v1.OAuth/WatchConnections"]

  @Test("Each method of each service names who may call it, and lets nobody else in")
  func lists() async throws {
    try await onLoop { reactor in
      let authority = try CertificateAuthority.make(commonName: "tests")
      let roots = PEMSource.bytes(authority.certificate.pem)
      func identity(_ name: String) throws -> TLSIdentity {
        try authority.issue(.init(commonName: name, uris: ["spiffe://emailmcp/\(name)"], days: 1)).identity()
      }
      let server = RPCServer(on: reactor)
      let fakes = FakeServices(seen: Seen())
      EdgeSite.register(oauth: fakes, server)
      EdgeSite.register(mailer: fakes, server)
      EdgeSite.register(reports: fakes, server)
      let address = try await server.listen(
        on: "127.0.0.1:0",
        tls: try TLSServerContext(
          TLSServerSettings(identity: try identity("mailer"), clientRoots: roots, protocols: ["h2"])))
      #expect(server.methods.methods.count == 30)
      for method in server.methods.methods {
        let caller = Self.ofMailer.contains(method.descriptor.fullName) ? "mailer" : "edge"
        #expect(method.options.allowedPeers == ["spiffe://emailmcp/\(caller)"], "\(method.descriptor)")
      }

      /// What the method says to this caller, who knows no context: the list is asked first.
      func answer(to name: String, of method: MethodDescriptor) async throws -> StatusCode {
        let context = try TLSClientContext(
          TLSClientSettings(roots: .pem(roots), identity: try identity(name), protocols: ["h2"]))
        let channel = RPCChannel(
          to: try ChannelTarget("ipv4:\(address)"), security: .tls(context, peer: .uri("spiffe://emailmcp/mailer")),
          on: reactor)
        defer { channel.close() }
        let any = UnaryMethod<HealthCheckRequest, HealthCheckResponse>(method.service, method.name)
        do throws(RPCError) {
          _ = try await channel.call(any, HealthCheckRequest())
          return .ok
        } catch {
          return error.code
        }
      }
      for method in server.methods.methods {
        #expect(try await answer(to: "report", of: method.descriptor) == .permissionDenied, "\(method.descriptor)")
      }
      let token = OAuth.getAccessToken.descriptor
      #expect(try await answer(to: "edge", of: token) == .permissionDenied)
      #expect(try await answer(to: "mailer", of: token) == .unauthenticated)
      #expect(try await answer(to: "mailer", of: Mailer.sendMessage.descriptor) == .permissionDenied)
      #expect(try await answer(to: "edge", of: Mailer.sendMessage.descriptor) == .unauthenticated)
      await server.drain(within: .seconds(1))
    }
  }
}
