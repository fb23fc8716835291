import Foundation
import TestSupport
import Testing

/// The fuzzers' kept inputs, and some thousand mutations of them, without a sanitizer: what `script/fuzz` looks into for
/// minutes, every test run looks at for seconds.
@Suite("Fuzzers' corpora")
struct ReplayTests {
  /// The corpus of a target: one input a line, in hexadecimal.
  static func corpus(_ name: String) throws -> [[UInt8]] {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Corpus/\(name).hex")
    return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map { try #require(bytes(hex: $0)) }
  }

  @Test("Every kept input is read as it should be", arguments: FuzzTarget.all)
  func kept(_ target: FuzzTarget) throws {
    let inputs = try Self.corpus(target.name)
    #expect(inputs.count >= 10)
    for input in inputs { check(target, input) }
  }

  @Test("Mutations of the kept inputs are, too", arguments: FuzzTarget.all)
  func mutated(_ target: FuzzTarget) throws {
    var mutator = Mutator(state: 1, corpus: try Self.corpus(target.name))
    for _ in 0..<2000 { check(target, mutator.next()) }
  }

  @Test(
    "A target that is broken on purpose is found out",
    arguments: [(FuzzTarget.brokenFrames, "frames"), (.brokenPercentCoding, "headers")])
  func broken(_ target: FuzzTarget, _ corpus: String) throws {
    var mutator = Mutator(state: 1, corpus: try Self.corpus(corpus))
    let faults = (0..<2000).count { _ in
      let input = mutator.next()
      return (try? input.withUnsafeBytes { try target.run($0) }) == nil
    }
    #expect(faults > 0)
  }

  private func check(_ target: FuzzTarget, _ input: [UInt8]) {
    do {
      try input.withUnsafeBytes { try target.run($0) }
    } catch {
      let digits = input.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
      Issue.record("\(target.name): \(error), for \(digits)")
    }
  }
}

func bytes(hex: some StringProtocol) -> [UInt8]? {
  let digits = hex.compactMap(\.hexDigitValue)
  guard digits.count == hex.count, digits.count.isMultiple(of: 2) else { return nil }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// Inputs near those of a corpus: some bytes changed, left out, repeated or taken from another one. The same every time.
struct Mutator {
  private var random: SeededRandom
  private let corpus: [[UInt8]]

  init(state: UInt64, corpus: [[UInt8]]) {
    random = SeededRandom(seed: state)
    self.corpus = corpus
  }

  mutating func next() -> [UInt8] {
    var input = corpus[random.below(corpus.count)]
    for _ in 0...random.below(3) {
      let at = random.below(input.count + 1)
      let end = min(input.count, at + 1 + random.below(8))
      switch random.below(5) {
      case 0 where at < input.count: input[at] = UInt8(random.below(256))
      case 1 where at < input.count: input[at] ^= 1 << UInt8(random.below(8))
      case 2: input.removeSubrange(at..<end)
      case 3: input.insert(contentsOf: input[at..<end], at: at)
      default:
        let other = corpus[random.below(corpus.count)]
        input.replaceSubrange(at..., with: other.suffix(random.below(other.count + 1)))
      }
    }
    return input
  }
}

extension FuzzTarget: CustomTestStringConvertible {
  var testDescription: String { name }
}
