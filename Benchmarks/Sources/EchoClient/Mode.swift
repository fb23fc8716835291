import EchoSchema
import EventLoop
import RPCRuntime
import WireCodec

/// What one stream of the client does until the time is up.
enum Mode: String, CaseIterable, Sendable {
  case unary, pingpong, upload, download

  var unit: String { self == .unary ? "call" : "message" }
  /// Whether each count is a round trip.
  var hasLatency: Bool { self == .unary || self == .pingpong }

  /// - Returns: nanoseconds of each call or message; zero where there is no round trip.
  func run(_ channel: RPCChannel, _ message: EchoMessage, until end: Instant) async throws -> [Int64] {
    let options = CallOptions(waitForReady: true)
    var counted: [Int64] = []
    switch self {
    case .unary:
      while true {
        let start = Instant.current()
        if start > end { return counted }
        try check(try await channel.call(Echo.echo, message, options: options), is: message)
        counted.append((Instant.current() - start).wholeNanoseconds)
      }
    case .pingpong:
      let call = try channel.call(Echo.stream, options: options)
      while true {
        let start = Instant.current()
        if start > end { break }
        try await call.write(message)
        try check(try await call.responses.next(), is: message)
        counted.append((Instant.current() - start).wholeNanoseconds)
      }
      call.finishWriting()
    case .upload:
      let call = try channel.call(Echo.collect, options: options)
      var count: Int64 = 0
      while Instant.current() < end {
        try await call.write(message)
        count += 1
      }
      // Only what the server says it has read counts.
      let read = try await call.finish().number
      guard read == count else { throw RPCError(.dataLoss, "\(count) messages went, \(read) came") }
      counted = [Int64](repeating: 0, count: Int(read))
    case .download:
      var request = message
      request.number = .max
      let call = try channel.call(Echo.expand, request, options: options)
      for try await answer in call {
        counted.append(0)
        guard Instant.current() > end else { continue }
        try check(answer, is: request)  // the last alone: there are millions
        break
      }
      call.cancel()
    }
    return counted
  }

  private func check(_ answer: EchoMessage?, is message: EchoMessage) throws {
    guard answer == message else { throw RPCError(.dataLoss, "the answer is not the request") }
  }
}
