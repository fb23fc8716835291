import EventLoop
import Glibc
import InteropSchema
import RPCRuntime
import TLSSession

/// `interop-client --server_host H --server_port N --test_case NAME [--use_tls]`: runs one case of the official
/// description; the exit status is 0 only when it holds.
///
/// Also `--server_host_override` (the name expected in the certificate), `--ca_file` (whom to trust), `--use_test_ca`
/// (taken, and without a meaning of its own: the file is what counts). `--test_case list` prints the cases.
///
/// Of our own: `--target NAME` in place of host and port: each of its addresses gets calls in turn, and EmptyCall is
/// repeated; `--refresh SECONDS` looks a name up again that often; `--keepalive` finds dead connections after 10 s and
/// another.
@main
enum InteropClient {
  static func main() async {
    do {
      try await run()
    } catch {
      say("interop-client: \(error)", to: STDERR_FILENO)
      exit(1)
    }
  }

  private static func run() async throws {
    let flags = try Flags(
      Array(CommandLine.arguments.dropFirst()),
      known: [
        "server_host", "server_port", "test_case", "use_tls", "use_test_ca", "server_host_override", "ca_file",
        "target", "refresh", "keepalive",
      ])
    let name = flags["test_case"] ?? ""
    if name == "list" { return say(InteropCases.all.map(\.name).joined(separator: "\n")) }
    guard let test = InteropCases.named(name) else {
      throw Flags.Unknown(description: "there is no case \"\(name)\"")
    }
    let host = flags["server_host"] ?? "localhost"
    guard let port = try flags.number("server_port", in: 1...65_535) ?? (flags["target"] == nil ? nil : 0) else {
      throw Flags.Unknown(description: "--server_port is missing")
    }
    let expected = flags["server_host_override"] ?? host
    let security: ChannelSecurity =
      if try flags.isOn("use_tls") {
        .tls(
          try TLSClientContext(
            TLSClientSettings(
              roots: .pem(.file(flags["ca_file"] ?? InteropCertificates.defaultRoots)), protocols: ["h2"])),
          peer: .host(expected))
      } else {
        .plaintext
      }
    let target = try ChannelTarget(flags["target"] ?? "dns:///\(host):\(port)")
    let (seconds, keepsAlive) = (try flags.number("refresh", in: 1...86_400), try flags.isOn("keepalive"))
    let loop = try EventLoop.start(name: "interop")
    try await loop.run { reactor in
      var configuration = ChannelConfiguration()
      configuration.authority = flags["server_host_override"].map { "\($0):\(port)" }
      if flags["target"] != nil { spread(&configuration) }
      if let seconds {
        configuration.resolution.minimumInterval = .seconds(1)
        configuration.resolution.refreshInterval = .seconds(seconds)
      }
      if keepsAlive {
        configuration.keepalive = KeepaliveConfiguration(time: .seconds(10), timeout: .seconds(1))
      }
      let channel = RPCChannel(to: target, security: security, on: reactor, configuration: configuration)
      defer { channel.close() }
      try await test.run(channel)
    }
    await loop.shutdown()
    say("\(name): passed")
  }

  /// To several servers, which may be away for a moment.
  private static func spread(_ configuration: inout ChannelConfiguration) {
    configuration.backoff = Backoff(initial: .milliseconds(50), limit: .milliseconds(500))
    configuration.service.balancing = .roundRobin
    configuration.service.configure(
      TestService.emptyCall.descriptor,
      MethodConfiguration(repetition: .retry(RetryPolicy(maxAttempts: 5, initialBackoff: .milliseconds(50)))))
  }
}
