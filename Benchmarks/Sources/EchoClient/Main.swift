import EchoSchema
import EventLoop
import Glibc
import RPCRuntime
import TLSSession
import WireCodec

/// `echo-client [--target T] [--connections N] [--streams N] [--seconds N] [--mode M] [--bytes N] [--ca FILE]`: calls
/// `bench.Echo` as fast as it answers and prints what came of it; see the README.
@main
enum EchoClient {
  static func main() async {
    do { try await run() } catch {
      print("echo-client: \(error)")
      exit(1)
    }
  }

  private static func run() async throws {
    let arguments = Arguments(
      of: "echo-client",
      usage: "[--target T] [--connections N] [--streams N] [--seconds N] [--mode M] [--bytes N] [--ca FILE]")
    guard let mode = Mode(rawValue: arguments["mode"] ?? "unary") else {
      arguments.fail("--mode is one of \(Mode.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    let connections = arguments.number("connections", default: 10, in: 1...100_000)
    let streams = arguments.number("streams", default: 20, in: 1...100_000)
    let duration = Duration.seconds(arguments.number("seconds", default: 5, in: 1...86_400))
    var message = EchoMessage()
    message.text = "a typical small request"
    message.number = 12_345
    message.data = [UInt8](repeating: 0x61, count: arguments.number("bytes", default: 0, in: 0...(64 << 20)))
    let request = message
    var security = ChannelSecurity.plaintext
    if let file = arguments["ca"] {
      security = .tls(
        try TLSClientContext(TLSClientSettings(roots: .pem(.file(file)), protocols: ["h2"])), peer: .host("localhost"))
    }
    let (target, chosenSecurity) = (try ChannelTarget(arguments["target"] ?? "ipv4:127.0.0.1:7070"), security)

    let loop = try EventLoop.start(name: "client")
    let before = cpuMicroseconds()
    let latencies = try await loop.run { reactor in
      let channels = (0..<connections).map { _ in RPCChannel(to: target, security: chosenSecurity, on: reactor) }
      let end = Instant.current() + duration
      let tasks = channels.flatMap { channel in
        (0..<streams).map { _ in reactor.spawn { try await mode.run(channel, request, until: end) } }
      }
      var latencies: [Int64] = []
      for task in tasks { latencies += try await task.value }
      for channel in channels { channel.close() }
      return latencies
    }
    guard !latencies.isEmpty else { throw RPCError(.unavailable, "no answer came") }
    report(latencies.sorted(), mode, duration, cpu: cpuMicroseconds() - before)
    await loop.shutdown()
  }

  private static func report(_ sorted: [Int64], _ mode: Mode, _ duration: Duration, cpu: Int) {
    func percentile(_ share: Double) -> Double { Double(sorted[Int(Double(sorted.count - 1) * share)]) / 1000 }
    print("\(mode.unit)s \(sorted.count), per second \(Int(Double(sorted.count) / duration.inSeconds))")
    if mode.hasLatency {
      print("latency µs p50 \(percentile(0.5)) p99 \(percentile(0.99)) max \(percentile(1))")
    }
    print("client CPU µs a \(mode.unit) \(Double(cpu) / Double(sorted.count))")
  }

  private static func cpuMicroseconds() -> Int {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000
      + Int(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
  }
}
