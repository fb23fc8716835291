// The measurements of codec-bench with SwiftProtobuf. Usage: swift-codec-peer COUNT
import Foundation
import Glibc
import SwiftProtobuf

func run() throws {
  let count = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1_000_000
  var message = Bench_EchoMessage()
  message.text = "a typical request that says something about somebody, in seventy byte."
  message.number = 12_345
  message.data = Data(count: 30)
  let bytes: [UInt8] = try message.serializedBytes()
  precondition(bytes.count == 107)

  var sum = 0
  let encode = try measure(count) { round in
    message.number = 12_345 + Int64(round & 1)
    let encoded: [UInt8] = try message.serializedBytes()
    sum &+= encoded.count
  }
  let decode = try measure(count) { _ in
    let decoded = try Bench_EchoMessage(serializedBytes: bytes)
    sum &+= decoded.text.utf8.count &+ Int(decoded.number) &+ decoded.data.count
  }
  let both = try measure(count) { round in
    message.number = 12_345 + Int64(round & 1)
    let encoded: [UInt8] = try message.serializedBytes()
    let decoded = try Bench_EchoMessage(serializedBytes: encoded)
    sum &+= decoded.text.utf8.count &+ Int(decoded.number) &+ decoded.data.count
  }
  print(encode, decode, both, sum)
}

func measure(_ count: Int, _ body: (Int) throws -> Void) rethrows -> Double {
  for round in 0..<count / 10 { try body(round) }
  let began = cpuTime()
  for round in 0..<count { try body(round) }
  return (cpuTime() - began) / Double(count)
}

func cpuTime() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
}

try run()
