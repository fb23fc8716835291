import EventLoop
import PostgresClient

/// The names of the time zones that the database knows: what it takes beside them (abbreviations, POSIX rules such as
/// `UTC+3`, which mean the opposite of what they seem to) is no name.
final class ZoneNames {
  /// How long a name that is unknown stays so: the database's tables may be renewed while we run. Also bounds what it
  /// costs to ask for names that do not exist.
  private static let patience = Duration.seconds(600)

  private let pool: PostgresPool
  private var names: Set<String> = []
  private var loadedAt: Instant?

  init(pool: PostgresPool) { self.pool = pool }

  func contains(_ name: String) async throws -> Bool {
    if name == "UTC" || names.contains(name) { return true }
    if let loadedAt, Instant.current() - loadedAt < Self.patience { return false }
    let rows = try await pool.query(
      """
      SELECT name FROM pg_timezone_names
      WHERE name NOT LIKE 'posix%' AND name NOT LIKE 'right/%' AND name NOT IN ('localtime', 'Factory')
      """)
    names = Set(try rows.map { try $0[0] })
    loadedAt = .current()
    return names.contains(name)
  }
}
