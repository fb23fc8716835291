internal import Glibc

/// A received field section: ranges in its stream's arena. Valid until the stream's `closed` event has been passed and,
/// for the byte pointers, until the next `receive`.
package struct HTTP2HeaderBlock {
  package enum Kind: Sendable {
    case request, response, informational, trailers
  }

  package let kind: Kind
  /// The section carried END_STREAM: nothing follows it from the peer.
  package let endStream: Bool
  let stream: HTTP2Stream
  let start: Int
  package let count: Int

  package func name(_ index: Int) -> UnsafeRawBufferPointer {
    precondition(index >= 0 && index < count)
    let field = stream.fields[start + index]
    return stream.arena.slice(field.nameStart, field.nameLength)
  }

  package func value(_ index: Int) -> UnsafeRawBufferPointer {
    precondition(index >= 0 && index < count)
    let field = stream.fields[start + index]
    return stream.arena.slice(field.valueStart, field.valueLength)
  }

  /// The value of the first field of this name (lower-case), compared byte by byte.
  package func first(_ name: StaticString) -> UnsafeRawBufferPointer? {
    for index in 0..<count where self.name(index).equals(name) { return value(index) }
    return nil
  }
}

extension UnsafeRawBufferPointer {
  /// Whether the bytes are exactly those of a literal.
  package func equals(_ literal: StaticString) -> Bool {
    count == literal.utf8CodeUnitCount && (count == 0 || memcmp(baseAddress!, literal.utf8Start, count) == 0)
  }
}

/// Bytes that only grow, with offsets for references; keeps its memory between uses.
struct ByteArena: ~Copyable {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private(set) var count = 0

  deinit { base?.deallocate() }

  mutating func append(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> UInt32 {
    if count + length > capacity {
      let grown = max(512, capacity * 2, count + length)
      let memory = UnsafeMutableRawPointer.allocate(byteCount: grown, alignment: 1)
      if let base {
        memory.copyMemory(from: base, byteCount: count)
        base.deallocate()
      }
      base = memory
      capacity = grown
    }
    let start = count
    if length > 0 { base!.advanced(by: start).copyMemory(from: bytes, byteCount: length) }
    count += length
    return UInt32(start)
  }

  mutating func removeAll() { count = 0 }

  func slice(_ start: UInt32, _ length: UInt32) -> UnsafeRawBufferPointer {
    guard let base, length > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(start: base + Int(start), count: Int(length))
  }
}
