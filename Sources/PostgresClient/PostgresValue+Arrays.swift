package import CivilTime

// Arrays of one dimension, in the binary format. An element may be null where its type says so.
extension PostgresValue {
  package static func textArray(_ values: [String?]?) -> PostgresValue {
    array(.textArray, of: .text, values) { $0.append(contentsOf: $1.utf8) }
  }

  package static func boolArray(_ values: [Bool]?) -> PostgresValue {
    array(.boolArray, of: .bool, values) { $0.append($1 ? 1 : 0) }
  }

  package static func int4Array(_ values: [Int32]?) -> PostgresValue {
    array(.int4Array, of: .int4, values) { $0.append(bigEndian: $1) }
  }

  package static func int8Array(_ values: [Int64]?) -> PostgresValue {
    array(.int8Array, of: .int8, values) { $0.append(bigEndian: $1) }
  }

  package static func uuidArray(_ values: [UniqueID]?) -> PostgresValue {
    array(.uuidArray, of: .uuid, values) {
      $0.append(bigEndian: $1.high)
      $0.append(bigEndian: $1.low)
    }
  }

  package static func bytesArray(_ values: [[UInt8]?]?) -> PostgresValue {
    array(.byteaArray, of: .bytea, values) { $0.append(contentsOf: $1) }
  }

  package static func timestampArray(_ values: [Timestamp?]?) -> PostgresValue {
    array(.timestamptzArray, of: .timestamptz, values) { $0.append(bigEndian: $1.postgresMicroseconds) }
  }

  /// JSON texts, as jsonb.
  package static func jsonArray(_ values: [[UInt8]?]?) -> PostgresValue {
    array(.jsonbArray, of: .jsonb, values) {
      $0.append(1)  // the version of jsonb's binary format
      $0.append(contentsOf: $1)
    }
  }

  private static func array<Element>(
    _ type: PostgresType, of element: PostgresType, _ values: [Element?]?, _ encode: (inout [UInt8], Element) -> Void
  ) -> PostgresValue {
    guard let values else { return .init(type, nil) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(20 + values.count * 20)
    bytes.append(bigEndian: Int32(values.isEmpty ? 0 : 1))  // dimensions
    bytes.append(bigEndian: Int32(values.contains { $0 == nil } ? 1 : 0))
    bytes.append(bigEndian: element.oid)
    guard !values.isEmpty else { return .init(type, .encoded(bytes)) }
    bytes.append(bigEndian: Int32(values.count))
    bytes.append(bigEndian: Int32(1))  // lower bound
    for value in values {
      guard let value else {
        bytes.append(bigEndian: Int32(-1))
        continue
      }
      let mark = bytes.count
      bytes.append(bigEndian: Int32(0))
      encode(&bytes, value)
      let length = UInt32(bytes.count - mark - 4)
      for shift in 0..<4 { bytes[mark + shift] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * shift)) }
    }
    return .init(type, .encoded(bytes))
  }
}
