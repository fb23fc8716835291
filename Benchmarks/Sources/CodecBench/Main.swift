import EchoSchema
import Glibc
import WireCodec

/// `codec-bench COUNT`: encodes and decodes the 107-byte `bench.EchoMessage` so often and prints the nanoseconds of one
/// encoding, one decoding, and one of each in turn. Every round makes a new message and a new buffer, as a call does.
@main
enum CodecBench {
  static func main() throws {
    let words = CommandLine.arguments.dropFirst()
    guard let count = Int(words.first ?? "1000000"), count > 0, words.count <= 1 else {
      print("usage: codec-bench COUNT")
      exit(2)
    }
    var message = EchoMessage()
    message.text = "a typical request that says something about somebody, in seventy byte."
    message.number = 12_345
    message.data = [UInt8](repeating: 0, count: 30)
    let bytes = message.wireBytes()
    precondition(bytes.count == 107)

    // What is summed up is printed, so that nothing of the work can be left out.
    var sum = 0
    let encode = measure(count) { round in
      message.number = 12_345 + Int64(round & 1)
      sum &+= message.wireBytes().count
    }
    let decode = try measure(count) { _ in
      let decoded = try EchoMessage(wire: bytes)
      sum &+= decoded.text.utf8.count &+ Int(decoded.number) &+ decoded.data.count
    }
    let both = try measure(count) { round in
      message.number = 12_345 + Int64(round & 1)
      let decoded = try EchoMessage(wire: message.wireBytes())
      sum &+= decoded.text.utf8.count &+ Int(decoded.number) &+ decoded.data.count
    }
    print(encode, decode, both, sum)
  }

  /// Nanoseconds of one round, by the CPU time of the thread: others' work on the machine is not in it.
  private static func measure(_ count: Int, _ body: (Int) throws -> Void) rethrows -> Double {
    for round in 0..<count / 10 { try body(round) }
    let began = cpuTime()
    for round in 0..<count { try body(round) }
    return (cpuTime() - began) / Double(count)
  }

  private static func cpuTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
  }
}
