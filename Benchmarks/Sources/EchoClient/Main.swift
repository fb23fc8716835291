import EchoSchema
import EventLoop
import Glibc
import RPCRuntime

/// `echo-client --target T [--connections N] [--streams N] [--seconds N]`: calls as fast as answers come, and prints
/// calls a second, latencies and its own CPU time a call.
@main
enum EchoClient {
  static func main() async throws {
    let arguments = Arguments()
    let target = try ChannelTarget(arguments["target"] ?? "ipv4:127.0.0.1:7070")
    let connections = arguments.number("connections", default: 10)
    let streams = arguments.number("streams", default: 20)
    let duration = Duration.seconds(arguments.number("seconds", default: 5))
    let loop = try EventLoop.start(name: "client")
    let before = cpuMicroseconds()
    let latencies = try await loop.run { reactor in
      let channels = (0..<connections).map { _ in RPCChannel(to: target, on: reactor) }
      var request = EchoMessage()
      request.text = "a typical small request"
      request.number = 12_345
      let message = request
      let end = Instant.current() + duration
      let tasks = channels.flatMap { channel in
        (0..<streams).map { _ in
          reactor.spawn {
            var latencies: [Int64] = []
            while true {
              let start = Instant.current()
              if start > end { return latencies }
              _ = try await channel.call(Echo.echo, message, options: CallOptions(waitForReady: true))
              latencies.append((Instant.current() - start).wholeNanoseconds)
            }
          }
        }
      }
      var latencies: [Int64] = []
      for task in tasks { latencies += try await task.value }
      for channel in channels { channel.close() }
      return latencies
    }
    let cpu = cpuMicroseconds() - before
    let sorted = latencies.sorted()
    func percentile(_ share: Double) -> Double { Double(sorted[Int(Double(sorted.count - 1) * share)]) / 1000 }
    print(
      """
      calls \(sorted.count), per second \(Int(Double(sorted.count) / duration.inSeconds))
      latency µs p50 \(percentile(0.5)) p99 \(percentile(0.99)) max \(percentile(1))
      client CPU µs a call \(Double(cpu) / Double(sorted.count))
      """)
    await loop.shutdown()
  }

  static func cpuMicroseconds() -> Int {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000
      + Int(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
  }
}
