import CLibPQ
package import CivilTime

/// The rows that one statement answered with. Owns libpq's result; cells are decoded where they are read.
package final class PostgresRows: RandomAccessCollection {
  let result: OpaquePointer
  package let startIndex = 0
  package let endIndex: Int

  /// Takes ownership of `result`.
  init(_ result: OpaquePointer) {
    self.result = result
    endIndex = Int(PQntuples(result))
  }

  deinit { PQclear(result) }

  package subscript(position: Int) -> PostgresRow {
    precondition(position >= 0 && position < endIndex, "row \(position) of \(endIndex)")
    return PostgresRow(rows: self, index: Int32(position))
  }

  /// Rows that an INSERT, UPDATE, DELETE or SELECT touched.
  package var affected: Int {
    guard let text = PQcmdTuples(result) else { return 0 }
    return Int(String(cString: text)) ?? 0
  }

  /// The only row.
  ///
  /// - Throws: `PostgresError` of code `decoding` when there is none, or more than one.
  package func only() throws(PostgresError) -> PostgresRow {
    guard count == 1 else { throw PostgresError(.decoding, "\(count) rows where one was expected") }
    return self[0]
  }
}

/// A row of a result. A column is read by its position, as the type of the place that it goes to:
/// `let id: UniqueID = try row[0]`, `let name: String? = try row[1]`.
package struct PostgresRow {
  let rows: PostgresRows
  let index: Int32

  package subscript<Value: PostgresDecodable>(column: Int) -> Value {
    get throws(PostgresError) {
      try Value.decode(PostgresCell(rows: rows, row: index, column: Int32(column)))
    }
  }

  package func isNull(_ column: Int) -> Bool { PQgetisnull(rows.result, index, Int32(column)) == 1 }

  /// The column, as the type that is named.
  package func column<Value: PostgresDecodable>(
    _ column: Int, as type: Value.Type
  ) throws(PostgresError) -> Value { try self[column] }
}

/// One cell, in Postgres's binary format.
package struct PostgresCell {
  let rows: PostgresRows
  let row: Int32
  let column: Int32

  var isNull: Bool { PQgetisnull(rows.result, row, column) == 1 }
  var type: PostgresType { PostgresType(oid: PQftype(rows.result, column)) }

  /// Valid while `rows` lives.
  func bytes() throws(PostgresError) -> UnsafeRawBufferPointer {
    guard column >= 0, column < PQnfields(rows.result) else {
      throw PostgresError(.decoding, "column \(column) of \(PQnfields(rows.result))")
    }
    guard !isNull else { throw mismatch("not null") }
    return UnsafeRawBufferPointer(
      start: PQgetvalue(rows.result, row, column), count: Int(PQgetlength(rows.result, row, column)))
  }

  func mismatch(_ wanted: String) -> PostgresError {
    let name = PQfname(rows.result, column).map { String(cString: $0) } ?? "?"
    let found = isNull ? "null" : "of type \(type.oid)"
    return PostgresError(.decoding, "column \(column) (\(name)) is \(found), \(wanted) was expected")
  }

  /// A big-endian integer of exactly this width.
  func integer<Value: FixedWidthInteger>(_ wanted: Value.Type) throws(PostgresError) -> Value {
    let bytes = try bytes()
    guard bytes.count == MemoryLayout<Value>.size else { throw mismatch("\(Value.self)") }
    return Value(bigEndian: bytes.loadUnaligned(as: Value.self))
  }
}

/// What a cell can be read as. Called with its static type: no existential on the way.
package protocol PostgresDecodable {
  static func decode(_ cell: PostgresCell) throws(PostgresError) -> Self
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Wrapped? {
    cell.isNull ? nil : try Wrapped.decode(cell)
  }
}

extension Int64: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int64 {
    switch cell.type {
    case .int8: try cell.integer(Int64.self)
    case .int4: Int64(try cell.integer(Int32.self))
    case .int2: Int64(try cell.integer(Int16.self))
    default: throw cell.mismatch("an integer")
    }
  }
}

extension Int: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int { Int(try Int64.decode(cell)) }
}

extension Bool: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Bool {
    guard cell.type == .bool else { throw cell.mismatch("a boolean") }
    return try cell.integer(UInt8.self) != 0
  }
}

extension Double: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Double {
    switch cell.type {
    case .float8: Double(bitPattern: try cell.integer(UInt64.self))
    case .float4: Double(Float(bitPattern: try cell.integer(UInt32.self)))
    default: throw cell.mismatch("a float")
    }
  }
}

extension String: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> String {
    switch cell.type {
    case .text, .varchar, .bpchar, .name, .json, .unknown: return String(decoding: try cell.bytes(), as: UTF8.self)
    case .jsonb: return String(decoding: try cell.bytes().dropFirst(), as: UTF8.self)
    default: throw cell.mismatch("text")
    }
  }
}

extension [UInt8]: PostgresDecodable {
  /// The bytes of bytea, text or JSON.
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> [UInt8] {
    switch cell.type {
    case .bytea, .text, .varchar, .json: return Array(try cell.bytes())
    case .jsonb: return Array(try cell.bytes().dropFirst())
    default: throw cell.mismatch("bytes")
    }
  }
}

extension UniqueID: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> UniqueID {
    guard cell.type == .uuid, let id = UniqueID(bytes: try cell.bytes()) else { throw cell.mismatch("a uuid") }
    return id
  }
}

extension Timestamp: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Timestamp {
    guard cell.type == .timestamptz else { throw cell.mismatch("a timestamptz") }
    return Timestamp(postgresMicroseconds: try cell.integer(Int64.self))
  }
}

extension CivilDate: PostgresDecodable {
  package static func decode(_ cell: PostgresCell) throws(PostgresError) -> CivilDate {
    guard cell.type == .date else { throw cell.mismatch("a date") }
    return CivilDate(daysSinceEpoch: Int(try cell.integer(Int32.self)) + PostgresType.daysFrom1970To2000)
  }
}
