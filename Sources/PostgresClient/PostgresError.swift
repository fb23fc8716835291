import CLibPQ

/// What went wrong: an SQLSTATE of the server's, or a condition of the client's own.
package struct PostgresError: Error, Sendable, CustomStringConvertible {
  /// Open: any SQLSTATE fits. The client's own codes are longer than five characters, so that they cannot be mistaken.
  package struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
    package var description: String { rawValue }

    package static let uniqueViolation = Code(rawValue: "23505")
    package static let serializationFailure = Code(rawValue: "40001")
    package static let deadlockDetected = Code(rawValue: "40P01")
    package static let lockNotAvailable = Code(rawValue: "55P03")
    package static let insufficientPrivilege = Code(rawValue: "42501")
    package static let invalidParameterValue = Code(rawValue: "22023")
    package static let undefinedTable = Code(rawValue: "42P01")
    /// A statement time-out or a cancel request.
    package static let queryCanceled = Code(rawValue: "57014")
    package static let readOnlyTransaction = Code(rawValue: "25006")

    /// The connection ended, or could not be made.
    package static let connectionLost = Code(rawValue: "connection_lost")
    /// No connection became free in time.
    package static let poolTimeout = Code(rawValue: "pool_timeout")
    /// Too many callers wait for a connection already.
    package static let poolExhausted = Code(rawValue: "pool_exhausted")
    package static let poolClosed = Code(rawValue: "pool_closed")
    /// The client's own deadline for the query.
    package static let timeout = Code(rawValue: "client_timeout")
    /// A cell is not of the type that was asked for.
    package static let decoding = Code(rawValue: "decoding")
    package static let configuration = Code(rawValue: "configuration")
    package static let migration = Code(rawValue: "migration")
  }

  package let code: Code
  /// The server's primary message, or the client's own: without the values that `detail` may hold.
  package let message: String
  /// May contain a row's values: for a developer's eyes, never for a log.
  package let detail: String?
  package let constraint: String?
  /// Whether the statements may have been executed although no answer came: true when the connection was lost, or the
  /// deadline passed, after they were sent.
  package let mayHaveExecuted: Bool

  package init(
    _ code: Code, _ message: String, detail: String? = nil, constraint: String? = nil, mayHaveExecuted: Bool = false
  ) {
    self.code = code
    self.message = message
    self.detail = detail
    self.constraint = constraint
    self.mayHaveExecuted = mayHaveExecuted
  }

  /// Reads a result of status PGRES_FATAL_ERROR.
  init(result: OpaquePointer) {
    func field(_ code: Int32) -> String? { PQresultErrorField(result, code).map { String(cString: $0) } }
    let state = field(Int32(UInt8(ascii: "C")))  // PG_DIAG_SQLSTATE
    let text = field(Int32(UInt8(ascii: "M"))) ?? String(cString: PQresultErrorMessage(result))
    self.init(
      state.map(Code.init(rawValue:)) ?? .connectionLost, text,
      detail: field(Int32(UInt8(ascii: "D"))), constraint: field(Int32(UInt8(ascii: "n"))),
      mayHaveExecuted: state == nil)
  }

  /// Whether the database as a whole was out of reach, or without the room, memory or disk that any statement needs (the
  /// classes 53 and 58): the caller should answer "unavailable", not "wrong", and what must be written is tried again.
  package var isUnavailable: Bool {
    switch code {
    case .connectionLost, .poolTimeout, .poolExhausted, .poolClosed, .timeout, .readOnlyTransaction, .queryCanceled:
      true
    default: code.rawValue.count == 5 && ["08", "53", "57P", "58"].contains { code.rawValue.hasPrefix($0) }
    }
  }

  /// Whether the same transaction, run again from its beginning, may well succeed.
  package var isRetryable: Bool { code == .serializationFailure || code == .deadlockDetected }

  package var description: String {
    "\(code): \(message)" + (constraint.map { " (constraint \($0))" } ?? "")
  }

  /// libpq's account of a broken connection, in one line.
  static func connection(_ handle: OpaquePointer, otherwise: String) -> PostgresError {
    let words = String(cString: PQerrorMessage(handle)).split { $0.isWhitespace }
    return PostgresError(.connectionLost, words.isEmpty ? otherwise : words.joined(separator: " "))
  }
}
