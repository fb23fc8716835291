import EventLoop
import Glibc
import InteropSchema
import RPCRuntime
import TLSSession

/// `interop-server --port N [--use_tls]`: grpc.testing.TestService with the official flags, health and reflection, until
/// SIGTERM. Prints `listening on ADDRESS` once it serves; port 0 takes one that is free.
///
/// Of our own: `--proto_path` (the folder with `grpc/testing/test.proto`; without it reflection tells names alone), `--tls_cert_file`, `--tls_key_file` (without them a certificate is made for the run), `--ca_file` (where
/// that one's authority is written), `--loops`.
@main
enum InteropServer {
  static func main() async {
    do {
      try await serve()
    } catch {
      say("interop-server: \(error)", to: STDERR_FILENO)
      exit(1)
    }
  }

  private static func serve() async throws {
    let flags = try Flags(
      Array(CommandLine.arguments.dropFirst()),
      known: ["port", "use_tls", "tls_cert_file", "tls_key_file", "ca_file", "loops", "proto_path"])
    guard let port = try flags.number("port", in: 0...65_535) else {
      throw Flags.Unknown(description: "--port is missing")
    }
    let tls = try flags.isOn("use_tls") ? TLSServerContext(settings(flags)) : nil
    let group = try EventLoopGroup(count: flags.number("loops", in: 1...256) ?? 1)
    let schemas = try flags["proto_path"].map { try ProtoFolder.files(Self.schemas, below: $0) } ?? []
    let health = HealthRegistry(services: [TestService.name])
    health.setAll(.serving)
    try await RPCServer.run(
      on: group, listen: "0.0.0.0:\(port)", tls: tls, started: { say("listening on \($0)") },
      build: { server in
        TestServiceHandlers.register(on: server)
        server.handle(HealthUpdates.setServing) { _, _ in
          health.setAll(.serving)
          return Empty()
        }
        server.handle(HealthUpdates.setNotServing) { _, _ in
          health.setAll(.notServing)
          return Empty()
        }
        server.serveHealth(of: health)
        try server.serveReflection(of: schemas)
      })
  }

  private static let schemas = ["grpc/testing/test.proto", "grpc/testing/messages.proto", "grpc/testing/empty.proto"]

  private static func settings(_ flags: Flags) throws -> TLSServerSettings {
    let identity =
      if let certificate = flags["tls_cert_file"], let key = flags["tls_key_file"] {
        TLSIdentity(certificateFile: certificate, keyFile: key)
      } else {
        try InteropCertificates.makeIdentity(rootsAt: flags["ca_file"] ?? InteropCertificates.defaultRoots)
      }
    return TLSServerSettings(identity: identity, protocols: ["h2"])
  }
}
