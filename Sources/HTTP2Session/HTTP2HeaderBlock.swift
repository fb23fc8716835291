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

  package func name(_ index: Int) -> UnsafeRawBufferPointer { field(index).name }

  package func value(_ index: Int) -> UnsafeRawBufferPointer { field(index).value }

  package func field(_ index: Int) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    precondition(index >= 0 && index < count)
    return stream.bytes(of: stream.fields[start + index])
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
