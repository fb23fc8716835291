package import CivilTime

/// A parameter. Each form has a static function that takes nil for SQL's null.
///
/// Numbers, times, ids and bytes travel in binary, with their type declared. Text travels as text of a type that the
/// server infers from the place where it stands, so it may also be jsonb, an interval, an enumeration. A declared
/// bigint given to a function that takes an integer needs a cast in the SQL, or `int4`.
package struct PostgresValue: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByNilLiteral
{
  enum Form: Sendable {
    case null
    case text(String)
    case bytes([UInt8])
    /// Up to 16 bytes, big-endian: the first `count` of high and low.
    case fixed(high: UInt64, low: UInt64, count: UInt8)
    /// Already in the binary array format.
    case encoded([UInt8])
  }

  let type: PostgresType
  let form: Form

  init(_ type: PostgresType, _ form: Form?) {
    self.type = type
    self.form = form ?? .null
  }

  package static let null = PostgresValue(.inferred, nil)

  package static func text(_ value: String?) -> PostgresValue { .init(.inferred, value.map { .text($0) }) }
  package static func bytes(_ value: [UInt8]?) -> PostgresValue { .init(.bytea, value.map { .bytes($0) }) }
  package static func int(_ value: Int?) -> PostgresValue { int8(value.map(Int64.init)) }

  package static func int8(_ value: Int64?) -> PostgresValue {
    .init(.int8, value.map { .fixed(high: UInt64(bitPattern: $0), low: 0, count: 8) })
  }

  package static func int4(_ value: Int32?) -> PostgresValue {
    .init(.int4, value.map { .fixed(high: UInt64(UInt32(bitPattern: $0)) << 32, low: 0, count: 4) })
  }

  package static func bool(_ value: Bool?) -> PostgresValue {
    .init(.bool, value.map { .fixed(high: $0 ? 1 << 56 : 0, low: 0, count: 1) })
  }

  package static func double(_ value: Double?) -> PostgresValue {
    .init(.float8, value.map { .fixed(high: $0.bitPattern, low: 0, count: 8) })
  }

  package static func uuid(_ value: UniqueID?) -> PostgresValue {
    .init(.uuid, value.map { .fixed(high: $0.high, low: $0.low, count: 16) })
  }

  /// `Int64.max` and `.min` microseconds are Postgres's `infinity` and `-infinity`.
  package static func timestamp(_ value: Timestamp?) -> PostgresValue {
    .init(.timestamptz, value.map { .fixed(high: UInt64(bitPattern: $0.postgresMicroseconds), low: 0, count: 8) })
  }

  package static func date(_ value: CivilDate?) -> PostgresValue {
    .init(
      .date,
      value.map {
        let days = Int32(clamping: $0.daysSinceEpoch - PostgresType.daysFrom1970To2000)
        return .fixed(high: UInt64(UInt32(bitPattern: days)) << 32, low: 0, count: 4)
      })
  }

  /// An interval, as seconds; cast it in the SQL: `$1::float8 * interval '1 second'`, or use `make_interval(secs => $1)`.
  package static func seconds(_ value: Duration?) -> PostgresValue {
    double(
      value.map {
        let (seconds, attoseconds) = $0.components
        return Double(seconds) + Double(attoseconds) / 1e18
      })
  }

  /// JSON text, as jsonb.
  package static func json(_ value: [UInt8]?) -> PostgresValue {
    .init(.jsonb, value.map { .bytes([1] + $0) })  // 1: the version of jsonb's binary format
  }

  package init(stringLiteral value: String) { self = .text(value) }
  package init(integerLiteral value: Int64) { self = .int8(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(nilLiteral: ()) { self = .null }
}

/// The types that are spoken in binary, by their fixed object ids (pg_type.dat).
struct PostgresType: Hashable, Sendable {
  let oid: UInt32

  static let inferred = PostgresType(oid: 0)
  static let bool = PostgresType(oid: 16)
  static let bytea = PostgresType(oid: 17)
  static let name = PostgresType(oid: 19)
  static let int8 = PostgresType(oid: 20)
  static let int2 = PostgresType(oid: 21)
  static let int4 = PostgresType(oid: 23)
  static let text = PostgresType(oid: 25)
  static let json = PostgresType(oid: 114)
  static let float4 = PostgresType(oid: 700)
  static let float8 = PostgresType(oid: 701)
  static let unknown = PostgresType(oid: 705)
  static let byteaArray = PostgresType(oid: 1001)
  static let textArray = PostgresType(oid: 1009)
  static let int8Array = PostgresType(oid: 1016)
  static let boolArray = PostgresType(oid: 1000)
  static let int4Array = PostgresType(oid: 1007)
  static let bpchar = PostgresType(oid: 1042)
  static let varchar = PostgresType(oid: 1043)
  static let date = PostgresType(oid: 1082)
  static let timestamptz = PostgresType(oid: 1184)
  static let timestamptzArray = PostgresType(oid: 1185)
  static let uuid = PostgresType(oid: 2950)
  static let uuidArray = PostgresType(oid: 2951)
  static let jsonb = PostgresType(oid: 3802)
  static let jsonbArray = PostgresType(oid: 3807)

  static let daysFrom1970To2000 = 10_957
}

extension Timestamp {
  private static let microsecondsFrom1970To2000 = Int64(PostgresType.daysFrom1970To2000) * 86_400_000_000

  var postgresMicroseconds: Int64 {
    if microseconds == .max || microseconds == .min { return microseconds }
    let (difference, overflow) = microseconds.subtractingReportingOverflow(Self.microsecondsFrom1970To2000)
    return overflow ? .min : difference
  }

  init(postgresMicroseconds: Int64) {
    if postgresMicroseconds == .max || postgresMicroseconds == .min {
      self.init(microseconds: postgresMicroseconds)
    } else {
      let (sum, overflow) = postgresMicroseconds.addingReportingOverflow(Self.microsecondsFrom1970To2000)
      self.init(microseconds: overflow ? .max : sum)
    }
  }
}

extension [UInt8] {
  mutating func append(bigEndian value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }
}
