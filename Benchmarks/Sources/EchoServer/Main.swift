import EchoSchema
import EventLoop
import Glibc
import RPCRuntime
import TLSSession

/// `echo-server --port N [--loops N] [--tls CERT --key KEY]`: answers `bench.Echo/Echo` with its request, until killed.
@main
enum EchoServer {
  /// Without `async` and without the global executor: valgrind cannot run dispatch's threads.
  static func main() throws {
    let arguments = Arguments()
    let group = try EventLoopGroup(count: arguments.number("loops", default: 1))
    var tls: TLSServerContext?
    if let certificate = arguments["tls"], let key = arguments["key"] {
      tls = try TLSServerContext(
        TLSServerSettings(identity: TLSIdentity(certificateFile: certificate, keyFile: key), protocols: ["h2"]))
    }
    let (address, security) = ("127.0.0.1:\(arguments.number("port", default: 7070))", tls)
    for loop in group.loops {
      loop.execute { reactor in
        reactor.spawn { await serve(on: reactor, address, security) }
      }
    }
    while true { pause() }
  }

  private static func serve(on reactor: Reactor, _ address: String, _ tls: TLSServerContext?) async {
    let server = RPCServer(on: reactor)
    server.handle(Echo.echo) { request, _ in request }
    do {
      print("listening on \(try await server.listen(on: address, tls: tls))")
    } catch {
      print("echo-server: \(error)")
      exit(1)
    }
  }
}
