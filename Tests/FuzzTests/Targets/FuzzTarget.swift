/// One thing that reads strangers' bytes, with what must hold for all of them.
///
/// The same functions run under libFuzzer with AddressSanitizer (`script/fuzz`) and, over the kept corpora, in every
/// `swift test`.
struct FuzzTarget: Sendable {
  let name: String
  /// Crashes or throws when what must hold does not; refusing the bytes is no fault.
  let run: @Sendable (UnsafeRawBufferPointer) throws -> Void

  static let all: [FuzzTarget] = [
    .messages, .frames, .gzip, .calls, .headers, .http2Server, .http2Client, .json, .http1, .mailAddress, .mailMessage,
    .postgres,
  ]

  /// Deliberately wrong: they show that the fuzzers and the replay find what they are for.
  static let broken: [FuzzTarget] = [.brokenFrames, .brokenPercentCoding, .brokenOverread]
}

/// Something that must hold did not.
struct FuzzFault: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

func require(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws(FuzzFault) {
  guard holds else { throw FuzzFault(otherwise()) }
}

/// Takes an input apart: how a target is steered is told by the same bytes that it reads.
struct FuzzInput {
  private(set) var rest: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

  var isEmpty: Bool { rest.isEmpty }

  /// 0 beyond the end.
  mutating func byte() -> UInt8 {
    guard let first = rest.first else { return 0 }
    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
    return first
  }

  /// Up to so many bytes.
  mutating func bytes(_ count: Int) -> [UInt8] {
    let taken = rest.prefix(count)
    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(taken.count))
    return Array(taken)
  }

  /// A byte that tells the length, and so many bytes.
  mutating func block() -> [UInt8] { bytes(Int(byte())) }

  /// All that is left as texts, parted by a byte that UTF-8 does not have.
  func texts() -> [String] {
    rest.split(separator: 0xff, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
  }

  /// All that is left in pieces of the size that the first byte asks for (0: in one).
  mutating func pieces() -> [UnsafeRawBufferPointer] {
    let size = Int(byte())
    guard size > 0 else { return [rest] }
    return stride(from: 0, to: rest.count, by: size).map {
      UnsafeRawBufferPointer(rebasing: rest[$0..<min($0 + size, rest.count)])
    }
  }
}
