import EventLoop
import Glibc
import InteropSchema
import RPCRuntime
import Synchronization
import WireCodec

/// What our client does while servers come, go and fall silent: not of the official description.
extension InteropCases {
  static var chaos: [InteropCase] {
    [InteropCase("load_until_input_ends", load), InteropCase("stream_until_lost", streamUntilLost)]
  }

  /// Calls at one time.
  private static let workers = 8

  /// Calls an idempotent method all the time until standard input ends, and prints `calls failed slowest_ms`. A line of
  /// the input is answered by one with the calls so far, once each worker has ended a call that began after it.
  private static func load(_ channel: RPCChannel) async throws {
    let input = LoadInput()
    let reading = Task.detached { input.read() }
    let tally = LoadTally(workers: workers)
    let tasks = (0..<workers).map { worker in
      channel.reactor.spawn {
        while !input.isOver {
          let (line, began) = (input.lines, Instant.current())
          do throws(RPCError) {
            _ = try await channel.call(
              TestService.emptyCall, Empty(), options: CallOptions(timeout: .seconds(30), waitForReady: true))
            tally.ended(by: worker, after: Instant.current() - began, line)
          } catch {
            tally.failed(error)
          }
        }
      }
    }
    for task in tasks { try await task.value }
    await reading.value
    say("\(tally.calls) \(tally.failures) \(tally.slowest / .milliseconds(1))")
    try expect(
      tally.failures == 0, "\(tally.failures) calls failed, the first with \(tally.first.map { "\($0)" } ?? "")")
  }

  /// Opens a stream, says `open` when it is, and holds when it ends with UNAVAILABLE.
  private static func streamUntilLost(_ channel: RPCChannel) async throws {
    let error = try await failure(of: "the stream") {
      let halfHour: Int32 = 1_800_000_000
      let call = try channel.call(
        TestService.streamingOutputCall,
        StreamingOutputCallRequest {
          $0.responseParameters = [ResponseParameters(size: 1), ResponseParameters(size: 1)]
          $0.responseParameters[1].interval = halfHour
        })
      for try await _ in call { say("open") }
    }
    try expect(error.code == .unavailable, "the stream ended with \(error)")
  }
}

/// The lines of standard input.
private final class LoadInput: Sendable {
  private let count = Atomic<Int>(0)
  private let hasEnded = Atomic<Bool>(false)

  var lines: Int { count.load(ordering: .relaxed) }
  var isOver: Bool { hasEnded.load(ordering: .relaxed) }

  func read() {
    while readLine() != nil { count.wrappingAdd(1, ordering: .relaxed) }
    hasEnded.store(true, ordering: .relaxed)
  }
}

/// What became of the calls. Of one loop.
private final class LoadTally {
  private(set) var calls = 0
  private(set) var failures = 0
  private(set) var slowest = Duration.zero
  private(set) var first: RPCError?
  /// The last line of the input that each worker has seen before a call that has ended.
  private var seen: [Int]
  private var answered = 0

  init(workers: Int) { seen = Array(repeating: 0, count: workers) }

  func ended(by worker: Int, after time: Duration, _ line: Int) {
    calls += 1
    slowest = max(slowest, time)
    seen[worker] = line
    let all = seen.min() ?? 0
    guard all > answered else { return }
    answered = all
    say("\(calls)")
  }

  func failed(_ error: RPCError) {
    failures += 1
    first = first ?? error
  }
}
