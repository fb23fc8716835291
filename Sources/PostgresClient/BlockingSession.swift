import CLibPQ

/// A session for scripts: each call blocks its thread until the server has answered. For migrations, the command line
/// and tests; never on a loop.
package final class BlockingSession {
  private let handle: OpaquePointer

  package init(url: String) throws(PostgresError) {
    // libpq quotes what it cannot read, password and all.
    _ = try PostgresConfiguration(url: url)
    guard let handle = PQconnectdb(url) else { throw PostgresError(.connectionLost, "out of memory") }
    self.handle = handle
    guard PQstatus(handle) == CONNECTION_OK else {
      throw PostgresError.connection(handle, otherwise: "the connection failed")
    }
    PQsetNoticeProcessor(handle, { _, _ in }, nil)
  }

  deinit { PQfinish(handle) }

  /// Runs a script of any number of statements; answers with the last one's rows, as text.
  @discardableResult
  package func execute(_ script: String) throws(PostgresError) -> [[String?]] {
    try rows(of: PQexec(handle, script))
  }

  /// Runs one statement with text parameters.
  @discardableResult
  package func execute(_ statement: String, _ parameters: [String?]) throws(PostgresError) -> [[String?]] {
    var pointers: [UnsafePointer<CChar>?] = []
    var owned: [UnsafeMutablePointer<CChar>] = []
    defer { for pointer in owned { pointer.deallocate() } }
    for parameter in parameters {
      guard let parameter else {
        pointers.append(nil)
        continue
      }
      let bytes = parameter.utf8CString
      let pointer = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
      bytes.withUnsafeBufferPointer { pointer.initialize(from: $0.baseAddress!, count: $0.count) }
      owned.append(pointer)
      pointers.append(UnsafePointer(pointer))
    }
    return try rows(of: PQexecParams(handle, statement, Int32(pointers.count), nil, pointers, nil, nil, 0))
  }

  private func rows(of result: OpaquePointer?) throws(PostgresError) -> [[String?]] {
    guard let result else {
      throw PostgresError(.connectionLost, String(cString: PQerrorMessage(handle)), mayHaveExecuted: true)
    }
    defer { PQclear(result) }
    switch PQresultStatus(result) {
    case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
    default: throw PostgresError(result: result)
    }
    return (0..<PQntuples(result)).map { row in
      (0..<PQnfields(result)).map { column in
        PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
      }
    }
  }
}
