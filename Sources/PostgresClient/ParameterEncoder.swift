import CLibPQ
import Glibc

/// Lays parameters out as libpq wants them, in buffers that are used again.
struct ParameterEncoder {
  private var bytes: [UInt8] = []
  private var offsets: [Int] = []
  private var lengths: [Int32] = []
  private var formats: [Int32] = []
  private var types: [Oid] = []
  private var pointers: [UnsafePointer<CChar>?] = []

  /// Room kept between statements; a large payload's buffer is given back.
  private static let keptCapacity = 256 * 1024

  struct Layout {
    let count: Int32
    let types: UnsafePointer<Oid>?
    let values: UnsafePointer<UnsafePointer<CChar>?>?
    let lengths: UnsafePointer<Int32>?
    let formats: UnsafePointer<Int32>?
  }

  static func types(of parameters: [PostgresValue]) -> [Oid] { parameters.map(\.type.oid) }

  /// - Throws: `PostgresError` when a text holds U+0000, which Postgres cannot store.
  mutating func withLayout<Result>(
    of parameters: [PostgresValue], _ body: (Layout) -> Result
  ) throws(PostgresError) -> Result {
    reset(parameters.count)
    for parameter in parameters { try append(parameter) }
    defer { if bytes.capacity > Self.keptCapacity { bytes = [] } }
    return bytes.withUnsafeBufferPointer { base in
      for offset in offsets {
        pointers.append(
          offset < 0
            ? nil : UnsafeRawPointer(base.baseAddress!).advanced(by: offset).assumingMemoryBound(to: CChar.self))
      }
      return types.withUnsafeBufferPointer { types in
        pointers.withUnsafeBufferPointer { pointers in
          lengths.withUnsafeBufferPointer { lengths in
            formats.withUnsafeBufferPointer { formats in
              body(
                Layout(
                  count: Int32(offsets.count), types: types.baseAddress, values: pointers.baseAddress,
                  lengths: lengths.baseAddress, formats: formats.baseAddress))
            }
          }
        }
      }
    }
  }

  private mutating func reset(_ count: Int) {
    bytes.removeAll(keepingCapacity: true)
    offsets.removeAll(keepingCapacity: true)
    lengths.removeAll(keepingCapacity: true)
    formats.removeAll(keepingCapacity: true)
    types.removeAll(keepingCapacity: true)
    pointers.removeAll(keepingCapacity: true)
    pointers.reserveCapacity(count)
  }

  private mutating func append(_ parameter: PostgresValue) throws(PostgresError) {
    types.append(parameter.type.oid)
    let start = bytes.count
    switch parameter.form {
    case .null:
      offsets.append(-1)
      lengths.append(0)
      formats.append(0)
      return
    case .text(let text):
      bytes.append(contentsOf: text.utf8)
      guard !bytes[start...].contains(0) else {
        throw PostgresError(.invalidParameterValue, "a text parameter holds U+0000")
      }
      lengths.append(Int32(clamping: bytes.count - start))
      bytes.append(0)
      formats.append(0)
    case .bytes(let value), .encoded(let value):
      bytes.append(contentsOf: value)
      lengths.append(Int32(clamping: bytes.count - start))
      formats.append(1)
      if value.isEmpty { bytes.append(0) }  // so that there is an address to point at
    case .fixed(let high, let low, let count):
      withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { bytes.append(contentsOf: $0.prefix(Int(count))) }
      lengths.append(Int32(count))
      formats.append(1)
    }
    offsets.append(start)
  }
}
