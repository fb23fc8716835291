import CLibPQ
import CivilTime
@testable import PostgresClient

extension FuzzTarget {
  /// A cell of a type (the first byte chooses) as a server would send it, read as everything that a cell can be.
  static let postgres = FuzzTarget(name: "postgres") { bytes in
    var input = FuzzInput(bytes)
    let type = types[Int(input.byte()) % types.count]
    guard let row = row(of: type, input.rest) else { return }
    try read(String.self, row)
    try read([UInt8].self, row)
    try read(Int64.self, row)
    try read(Int64?.self, row)
    try read(Bool.self, row)
    try read(Double.self, row)
    try read(UniqueID.self, row)
    try read(Timestamp.self, row)
    try read(CivilDate.self, row)
    if let texts = try read(PostgresArray<String>.self, row) {
      try again(.textArray(texts.values), type) { ($0 as PostgresArray<String>).values == texts.values }
    }
    if let numbers = try read(PostgresArray<Int64>.self, row) {
      try again(.int8Array(numbers.values), type) { ($0 as PostgresArray<Int64>).values == numbers.values }
    }
    if let ids = try read(PostgresArray<UniqueID>.self, row) {
      try again(.uuidArray(ids.values), type) { ($0 as PostgresArray<UniqueID>).values == ids.values }
    }
  }

  private static let types: [UInt32] = [
    16, 17, 19, 20, 21, 23, 25, 114, 700, 701, 1009, 1015, 1016, 1043, 1082, 1184, 2950, 2951, 3802, 0xffff_ffff,
  ]

  @discardableResult
  private static func read<Value: PostgresDecodable>(_ type: Value.Type, _ row: PostgresRow) throws -> Value? {
    guard let value = try? row.column(0, as: type) else { return nil }
    _ = "\(value)"
    return value
  }

  private static func again<Value: PostgresDecodable>(
    _ value: PostgresValue, _ type: UInt32, _ isSame: (Value) -> Bool
  ) throws {
    guard case .encoded(let bytes) = value.form else { throw FuzzFault("an array is not written as one") }
    guard let row = bytes.withUnsafeBytes({ row(of: type, $0) }) else { return }
    try require(isSame(try row.column(0, as: Value.self)), "an array is read differently the second time")
  }

  /// A row of one cell, in libpq's own keeping.
  private static func row(of type: UInt32, _ bytes: UnsafeRawBufferPointer) -> PostgresRow? {
    guard let result = PQmakeEmptyPGresult(nil, PGRES_TUPLES_OK) else { return nil }
    let rows = "cell".withCString { name -> PostgresRows? in
      var column = PGresAttDesc()
      column.name = UnsafeMutablePointer(mutating: name)
      column.format = 1
      column.typid = type
      guard PQsetResultAttrs(result, 1, &column) == 1 else { return nil }
      let start = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: CChar.self))
      guard PQsetvalue(result, 0, 0, start, start == nil ? -1 : Int32(bytes.count)) == 1 else { return nil }
      return PostgresRows(result)
    }
    guard let rows else {
      PQclear(result)
      return nil
    }
    return rows[0]
  }
}
