import EchoSchema
import EventLoop
import Glibc
import RPCRuntime
import TLSSession
import WireCodec

/// `echo-server [--port N] [--host H] [--loops N] [--tls CERT KEY]`: serves `bench.Echo` until killed; see the README.
@main
enum EchoServer {
  /// Without `async` and without the global executor: valgrind cannot run dispatch's threads.
  static func main() throws {
    let arguments = Arguments(of: "echo-server", usage: "[--port N] [--host H] [--loops N] [--tls CERT KEY]")
    let group = try EventLoopGroup(count: arguments.number("loops", default: 1, in: 1...256))
    var tls: TLSServerContext?
    let files = arguments.values("tls")
    if let certificate = files.first {
      guard let key = files.dropFirst().first else { arguments.fail("--tls takes two files") }
      tls = try TLSServerContext(
        TLSServerSettings(identity: TLSIdentity(certificateFile: certificate, keyFile: key), protocols: ["h2"]))
    }
    let host = arguments["host"] ?? "127.0.0.1"
    let (address, security) = ("\(host):\(arguments.number("port", default: 7070, in: 0...65_535))", tls)
    group.loops[0].execute { reactor in
      reactor.spawn {
        do { try await ListenAddress(address).requireUnused(on: reactor) } catch { fail(error) }
        for loop in group.loops {
          loop.execute { reactor in
            reactor.spawn { await serve(on: reactor, address, security) }
          }
        }
      }
    }
    while true { pause() }
  }

  private static func fail(_ error: any Error) -> Never {
    print("echo-server: \(error)")
    exit(1)
  }

  private static func serve(on reactor: Reactor, _ address: String, _ tls: TLSServerContext?) async {
    let server = RPCServer(on: reactor)
    server.handle(Echo.echo) { request, _ in request }
    server.handle(Echo.collect) { requests, _ in
      var (last, count) = (EchoMessage(), Int64(0))
      for try await request in requests {
        last = request
        count += 1
      }
      last.number = count
      return last
    }
    server.handle(Echo.expand) { request, writer, _ in
      for _ in 0..<max(0, request.number) { try await writer.write(request) }
    }
    server.handle(Echo.stream) { requests, writer, _ in
      for try await request in requests { try await writer.write(request) }
    }
    do {
      print("listening on \(try await server.listen(on: address, tls: tls))")
      fflush(nil)  // whoever has started the program waits for the line
    } catch {
      fail(error)
    }
  }
}
