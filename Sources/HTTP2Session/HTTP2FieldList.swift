import CNghttp2

/// A field section to send. Static names and values are handed to nghttp2 without copies; the rest lies in one arena.
/// Pseudo fields come first, names are lower-case: the caller's duty. Reusable: `removeAll` keeps the memory.
package struct HTTP2FieldList {
  private struct Entry {
    var name: UnsafePointer<UInt8>?
    var nameStart = 0
    var nameLength: Int
    var value: UnsafePointer<UInt8>?
    var valueStart = 0
    var valueLength: Int
    var sensitive: Bool
  }

  private var entries: [Entry] = []
  private var arena: [UInt8] = []

  package init() {}

  package var isEmpty: Bool { entries.isEmpty }
  package var count: Int { entries.count }

  package mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    arena.removeAll(keepingCapacity: true)
  }

  package mutating func append(_ name: StaticString, _ value: StaticString) {
    entries.append(
      Entry(
        name: name.utf8Start, nameLength: name.utf8CodeUnitCount, value: value.utf8Start,
        valueLength: value.utf8CodeUnitCount, sensitive: false))
  }

  /// - Parameter sensitive: never enters a compression table (RFC 7541 section 7.1.3): credentials.
  package mutating func append(_ name: StaticString, _ value: some Sequence<UInt8>, sensitive: Bool = false) {
    let start = arena.count
    arena.append(contentsOf: value)
    entries.append(
      Entry(
        name: name.utf8Start, nameLength: name.utf8CodeUnitCount, valueStart: start,
        valueLength: arena.count - start, sensitive: sensitive))
  }

  package mutating func append(_ name: StaticString, _ value: String, sensitive: Bool = false) {
    append(name, value.utf8, sensitive: sensitive)
  }

  package mutating func append(name: some Sequence<UInt8>, value: some Sequence<UInt8>, sensitive: Bool = false) {
    let nameStart = arena.count
    arena.append(contentsOf: name)
    let valueStart = arena.count
    arena.append(contentsOf: value)
    entries.append(
      Entry(
        nameStart: nameStart, nameLength: valueStart - nameStart, valueStart: valueStart,
        valueLength: arena.count - valueStart, sensitive: sensitive))
  }

  /// Calls `body` with the fields in nghttp2's form, valid during the call.
  func withNameValues<R>(scratch: inout [nghttp2_nv], _ body: (UnsafePointer<nghttp2_nv>, Int) -> R) -> R {
    scratch.removeAll(keepingCapacity: true)
    return arena.withUnsafeBufferPointer { arena in
      // An empty arena has no address, and then only empty ranges point into it.
      let base = UnsafeMutablePointer(mutating: arena.baseAddress)
      let empty = UnsafeMutablePointer(mutating: ("" as StaticString).utf8Start)
      for entry in entries {
        var flags: UInt8 = entry.sensitive ? UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue) : 0
        if entry.name != nil { flags |= UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue) }
        if entry.value != nil { flags |= UInt8(NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue) }
        scratch.append(
          nghttp2_nv(
            name: entry.name.map { UnsafeMutablePointer(mutating: $0) } ?? base.map { $0 + entry.nameStart } ?? empty,
            value: entry.value.map { UnsafeMutablePointer(mutating: $0) } ?? base.map { $0 + entry.valueStart }
              ?? empty,
            namelen: entry.nameLength, valuelen: entry.valueLength, flags: flags))
      }
      return scratch.withUnsafeBufferPointer { body($0.baseAddress!, $0.count) }
    }
  }
}
