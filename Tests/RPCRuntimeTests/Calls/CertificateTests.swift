import EventLoop
import Foundation
import RPCRuntime
import TLSSession
import TestSupport
import Testing

@Suite("Certificates that are renewed", .timeLimit(.minutes(1)))
struct CertificateTests {
  @Test("A new certificate is shown to new connections; calls in flight do not notice")
  func renewal() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "rpc-certificates-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    /// A certificate by an authority of its own: a client that knows one trusts no other.
    @Sendable func renew() throws -> TLSClientContext {
      let authority = try CertificateAuthority.make(commonName: "RPC tests")
      let issued = try authority.issue(.init(commonName: "server", uris: ["spiffe://emailmcp/mailer"], days: 1))
      // The key first: a certificate without its key is not taken over.
      try Data(issued.key.pem().revealed).write(to: folder.appending(path: "key.pem"), options: .atomic)
      try Data(issued.certificate.pem).write(to: folder.appending(path: "cert.pem"), options: .atomic)
      return try TLSClientContext(
        TLSClientSettings(roots: .pem(PEMSource.bytes(authority.certificate.pem)), protocols: ["h2"]))
    }
    try await onLoop { reactor in
      let old = try renew()
      let tls = try TLSServerContext(
        TLSServerSettings(
          identity: TLSIdentity(
            certificateFile: folder.appending(path: "cert.pem").path, keyFile: folder.appending(path: "key.pem").path),
          protocols: ["h2"]))
      let server = RPCServer(on: reactor)
      server.handle(Notes.chat) { requests, replies, _ in
        for try await request in requests { try await replies.write(request) }
      }
      let address = try await server.listen(on: "127.0.0.1:0", tls: tls)
      func channel(_ context: TLSClientContext) throws -> RPCChannel {
        RPCChannel(
          to: try ChannelTarget("ipv4:\(address)"),
          security: .tls(context, peer: .uri("spiffe://emailmcp/mailer")), on: reactor)
      }
      func exchange(_ call: BidirectionalCall<Note, Note>, _ text: String) async throws -> String? {
        try await call.write(Note(text))
        return try await call.responses.next()?.text
      }
      let before = try channel(old)
      let call = try before.call(Notes.chat)
      let first = try await exchange(call, "with the old certificate")
      #expect(first == "with the old certificate")

      let new = try renew()
      #expect(tls.reloadIfChanged() == .reloaded)

      let after = try channel(new)
      let newCall = try after.call(Notes.chat)
      let second = try await exchange(newCall, "with the new one")
      #expect(second == "with the new one")
      let third = try await exchange(call, "still here")
      #expect(third == "still here")
      let another = try await exchange(try before.call(Notes.chat), "a new call on the old connection")
      #expect(another == "a new call on the old connection")
      before.close()
      after.close()
      await server.drain(within: .seconds(2))
    }
  }
}
