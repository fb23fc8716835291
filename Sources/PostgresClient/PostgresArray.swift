package import CivilTime

/// A one-dimensional array of text, int8 or uuid: `let scopes: PostgresArray<String> = try row[2]`, then `scopes.values`.
package struct PostgresArray<Element: PostgresArrayElement>: PostgresDecodable {
  package let values: [Element]

  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> PostgresArray {
    guard Element.arrayTypes.contains(cell.type.oid) else { throw cell.mismatch("an array of \(Element.self)") }
    var reader = ArrayReader(bytes: try cell.bytes())
    guard let dimensions = reader.integer(), let flags = reader.integer(), reader.integer() != nil else {
      throw cell.mismatch("a whole array")
    }
    if dimensions == 0 { return PostgresArray(values: []) }
    guard dimensions == 1, flags == 0, let count = reader.integer(), count >= 0, reader.integer() != nil else {
      throw cell.mismatch("an array of one dimension without nulls")
    }
    var values: [Element] = []
    values.reserveCapacity(min(Int(count), 1024))
    for _ in 0..<count {
      guard let length = reader.integer(), let bytes = reader.take(Int(length)),
        let value = Element(arrayElement: bytes)
      else { throw cell.mismatch("a whole array") }
      values.append(value)
    }
    return PostgresArray(values: values)
  }
}

package protocol PostgresArrayElement {
  /// The object ids of the array types that hold such elements.
  static var arrayTypes: Set<UInt32> { get }
  init?(arrayElement bytes: UnsafeRawBufferPointer)
}

extension String: PostgresArrayElement {
  package static let arrayTypes: Set<UInt32> = [1009, 1015, 1003]  // text, varchar, name
  package init?(arrayElement bytes: UnsafeRawBufferPointer) { self.init(decoding: bytes, as: UTF8.self) }
}

extension Int64: PostgresArrayElement {
  package static let arrayTypes: Set<UInt32> = [1016]
  package init?(arrayElement bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 8 else { return nil }
    self.init(bigEndian: bytes.loadUnaligned(as: Int64.self))
  }
}

extension UniqueID: PostgresArrayElement {
  package static let arrayTypes: Set<UInt32> = [2951]
  package init?(arrayElement bytes: UnsafeRawBufferPointer) {
    self.init(bytes: bytes)
  }
}

private struct ArrayReader {
  var bytes: UnsafeRawBufferPointer
  var offset = 0

  mutating func integer() -> Int32? {
    take(4).map { Int32(bigEndian: $0.loadUnaligned(as: Int32.self)) }
  }

  mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
    guard count >= 0, bytes.count - offset >= count else { return nil }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }
}
