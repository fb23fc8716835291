import TestSupport
import Testing

@testable import HTTP2Session

@Suite("Random frames")
struct RandomFramesTests {
  /// A peer that sends frames of every kind with random contents, in random pieces, at a session that answers.
  @Test("Whatever a peer sends, the session survives or says why not", arguments: 0..<40)
  func random(_ seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    for _ in 0..<20 {
      let server = HTTP2Session(role: .server, now: 0)
      var bytes = RawFrame.preface + RawFrame.settings
      for _ in 0..<Int.random(in: 1...60, using: &random) { bytes += frame(&random) }
      var now: UInt64 = 0
      var held: [HTTP2Stream] = []
      while !bytes.isEmpty {
        let piece = Array(bytes.prefix(Int.random(in: 1...200, using: &random)))
        bytes.removeFirst(piece.count)
        now += UInt64.random(in: 0...1_000_000_000, using: &random)
        do {
          try piece.withUnsafeBytes { try server.receive($0, now: now) }
        } catch {
          #expect(server.isFinished)
        }
        serve(server, &random, &held)
        server.check(now: now)
        while (try? server.nextOutput()) != nil { serve(server, &random, &held) }
      }
      server.abandonStreams(.cancel)
      serve(server, &random, &held)
      #expect(server.openStreamCount == 0)
    }
  }

  private func serve(_ server: HTTP2Session, _ random: inout SeededRandom, _ held: inout [HTTP2Stream]) {
    while let event = server.nextEvent() {
      switch event {
      case .headers(let stream, let block):
        for index in 0..<block.count { #expect(block.name(index).count + block.value(index).count < 20_000) }
        if Bool.random(using: &random) { held.append(stream) }
        switch Int.random(in: 0...4, using: &random) {
        case 0: server.submitResponse(stream, response(), endStream: true)
        case 1:
          server.submitResponse(stream, response(), endStream: false)
          server.write(stream, [UInt8](repeating: 1, count: Int.random(in: 0...100_000, using: &random)))
          server.end(stream)
        case 2:
          server.submitResponse(stream, response(), endStream: false)
          server.end(stream, trailers: response())
        case 3: server.reset(stream, .cancel)
        default: break
        }
      case .data(let stream, let bytes):
        if Bool.random(using: &random) { server.consume(stream, bytes.count) }
      case .closed(let stream, _):
        // On a stream that is gone nothing happens, however late.
        server.write(stream, [1])
        server.consume(stream, 10)
        server.reset(stream, .cancel)
        server.end(stream)
      default: break
      }
    }
    if let late = held.randomElement(using: &random) {
      server.write(late, [1, 2, 3])
      server.consume(late, 5)
    }
  }

  private func frame(_ random: inout SeededRandom) -> [UInt8] {
    let stream = UInt32([0, 1, 1, 3, 5, 7, 9, 2, 0x7fff_ffff].randomElement(using: &random)!)
    let noise = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    switch Int.random(in: 0...11, using: &random) {
    case 0...3:
      return RawFrame.headers(
        stream | 1, Bool.random(using: &random) ? RawFrame.post : RawFrame.get + noise.prefix(6),
        endStream: Bool.random(using: &random), endHeaders: Int.random(in: 0...9, using: &random) > 0)
    case 4, 5: return RawFrame.frame(0, UInt8.random(in: 0...1, using: &random), stream: stream, noise)
    case 6: return RawFrame.frame(3, 0, stream: stream, [0, 0, 0, 8])
    case 7: return RawFrame.frame(8, 0, stream: stream, [0, 0, 0, UInt8.random(in: 1...255, using: &random)])
    case 8: return RawFrame.frame(6, 0, stream: 0, [UInt8](repeating: 3, count: 8))
    case 9: return RawFrame.frame(4, 0, stream: 0, [0, 4, 0, 0, 0, UInt8.random(in: 0...255, using: &random)])
    default:
      return RawFrame.frame(
        UInt8.random(in: 0...20, using: &random), UInt8.random(in: 0...255, using: &random), stream: stream, noise)
    }
  }
}
