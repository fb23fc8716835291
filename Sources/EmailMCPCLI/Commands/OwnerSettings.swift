import ArgumentParser
import PostgresClient
import ServiceKit

/// Where the commands that administer find the database: `DATABASE_URL` or `DATABASE_URL_FILE`, the owner's login.
enum OwnerSettings {
  static func databaseURL() throws -> String { try secret("DATABASE_URL") }

  static func secret(_ name: String) throws -> String {
    let environment = processEnvironment()
    switch (environment[name], environment["\(name)_FILE"]) {
    case (let value?, nil): return value
    case (nil, let file?): return try PrivateFile.readText(file).trimmingWhitespace()
    case (nil, nil): throw ValidationError("\(name) (or \(name)_FILE) is not set")
    case (.some, .some): throw ValidationError("\(name) and \(name)_FILE are both set")
    }
  }
}

extension String {
  func trimmingWhitespace() -> String {
    let rest = drop { $0.isWhitespace }
    guard let last = rest.lastIndex(where: { !$0.isWhitespace }) else { return "" }
    return String(rest[...last])
  }
}

extension BlockingSession {
  /// Runs `body` in a transaction that sees one tenant's rows; with no tenant, in scope `admin`: every tenant's, to read.
  func transaction<T>(tenant: String? = nil, _ body: () throws -> T) throws -> T {
    try execute("BEGIN")
    do {
      if let tenant {
        try execute("SELECT set_config('emailmcp.tenant_id', $1, true)", [tenant])
      } else {
        try execute("SELECT set_config('emailmcp.scope', 'admin', true)")
      }
      let value = try body()
      try execute("COMMIT")
      return value
    } catch {
      _ = try? execute("ROLLBACK")
      throw error
    }
  }
}
