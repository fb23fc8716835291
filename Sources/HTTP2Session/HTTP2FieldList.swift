import CNghttp2

/// A field section to send. Static names and values are handed to nghttp2 without copies; the rest lies in one arena.
/// Pseudo fields come first, names are lower-case: the caller's duty.
package struct HTTP2FieldList {
  /// In nghttp2's form. What lies in the arena has its offset there, plus one, in the place of the address.
  private var entries: [nghttp2_nv] = []
  private var arena: [UInt8] = []

  package init() {}

  package var isEmpty: Bool { entries.isEmpty }
  /// As peers limit it (RFC 9113 section 6.5.2), in bytes.
  package var sectionSize: Int { entries.reduce(0) { $0 + $1.namelen + $1.valuelen + 32 } }

  package mutating func append(_ name: StaticString, _ value: StaticString) {
    append(
      Self.address(name), name.utf8CodeUnitCount, Self.address(value), value.utf8CodeUnitCount,
      Self.staticName | Self.staticValue)
  }

  /// - Parameter sensitive: never enters a compression table (RFC 7541 section 7.1.3): credentials.
  package mutating func append(_ name: StaticString, _ value: some Sequence<UInt8>, sensitive: Bool = false) {
    let start = arena.count
    arena.append(contentsOf: value)
    let isEmpty = arena.count == start
    append(
      Self.address(name), name.utf8CodeUnitCount, isEmpty ? Self.address("") : Self.offset(start), arena.count - start,
      Self.staticName | (isEmpty ? Self.staticValue : 0) | (sensitive ? Self.neverIndexed : 0))
  }

  package mutating func append(_ name: StaticString, _ value: String, sensitive: Bool = false) {
    append(name, value.utf8, sensitive: sensitive)
  }

  package mutating func append(name: some Sequence<UInt8>, value: some Sequence<UInt8>, sensitive: Bool = false) {
    let nameStart = arena.count
    arena.append(contentsOf: name)
    let valueStart = arena.count
    arena.append(contentsOf: value)
    append(
      Self.offset(nameStart), valueStart - nameStart, Self.offset(valueStart), arena.count - valueStart,
      sensitive ? Self.neverIndexed : 0)
  }

  private mutating func append(
    _ name: UnsafeMutablePointer<UInt8>?, _ nameLength: Int, _ value: UnsafeMutablePointer<UInt8>?, _ valueLength: Int,
    _ flags: UInt8
  ) {
    entries.append(nghttp2_nv(name: name, value: value, namelen: nameLength, valuelen: valueLength, flags: flags))
  }

  private static let staticName = UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue)
  private static let staticValue = UInt8(NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
  private static let neverIndexed = UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue)

  private static func address(_ text: StaticString) -> UnsafeMutablePointer<UInt8>? {
    UnsafeMutablePointer(mutating: text.utf8Start)
  }

  private static func offset(_ start: Int) -> UnsafeMutablePointer<UInt8>? {
    UnsafeMutablePointer(bitPattern: start + 1)
  }

  /// Calls `body` with the fields in nghttp2's form, valid during the call.
  @inline(__always)
  func withNameValues<R>(scratch: inout [nghttp2_nv], _ body: (UnsafePointer<nghttp2_nv>, Int) -> R) -> R {
    // Nothing but literals, like the usual answer and its trailers: ready as it is.
    guard !arena.isEmpty else { return entries.withUnsafeBufferPointer { body($0.baseAddress!, $0.count) } }
    scratch.removeAll(keepingCapacity: true)
    return arena.withUnsafeBufferPointer { arena in
      let base = UnsafeMutablePointer(mutating: arena.baseAddress!)
      for var entry in entries {
        if entry.flags & Self.staticName == 0 { entry.name = base + (Int(bitPattern: entry.name) - 1) }
        if entry.flags & Self.staticValue == 0 { entry.value = base + (Int(bitPattern: entry.value) - 1) }
        scratch.append(entry)
      }
      return scratch.withUnsafeBufferPointer { body($0.baseAddress!, $0.count) }
    }
  }
}
