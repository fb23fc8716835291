import EventLoop
import Glibc
import PostgresClient

/// A Postgres of our own, from the system's server binaries, in a private folder. It listens on one loopback port,
/// with a password, and keeps the default durability.
///
/// Three logins: `postgres`, made by initdb, makes the other two; `emailmcp` owns the database and migrates, and is no
/// superuser, so that forced row-level security binds it; `emailmcp_app` is what services log in as.
struct EmbeddedPostgres {
  let folder: String
  let binaries: String
  let user: SystemUser?
  let port: UInt16
  let password: String

  static let owner = "emailmcp"
  static let application = "emailmcp_app"
  static let startTimeout = Duration.seconds(60)

  /// - Throws: `DevError` when no server is installed, or none that fits the folder's data.
  init(_ dev: DevFolder, port: UInt16) throws {
    user = geteuid() == 0 ? SystemUser(named: "postgres") ?? SystemUser(named: "nobody") : nil
    if geteuid() == 0, user == nil {
      throw DevError("Postgres does not run as root, and there is no user \"postgres\" to run it as")
    }
    folder = try dev.databaseFolder(for: user)
    binaries = try Self.findBinaries(dataFolder: folder)
    password = try dev.secret("postgres-password")
    self.port = port
  }

  func url(_ login: String, database: String = "emailmcp") -> String {
    "postgres://\(login):\(password)@127.0.0.1:\(port)/\(database)"
  }

  // MARK: Finding it

  /// Debian keeps each major version in a folder of its own, outside PATH.
  private static let folderOfVersions = "/usr/lib/postgresql"
  /// What the schema needs.
  private static let oldestVersion = 15

  private static func findBinaries(dataFolder: String) throws -> String {
    let existing = (try? PrivateFile.readText("\(dataFolder)/PG_VERSION"))?.split(separator: "\n").first.map(
      String.init)
    let versions = subfolders(of: folderOfVersions).filter { isServer("\(folderOfVersions)/\($0)/bin") }
    if let existing {
      if versions.contains(existing) { return "\(folderOfVersions)/\(existing)/bin" }
    } else if let newest = versions.compactMap({ Int($0) }).filter({ $0 >= oldestVersion }).max() {
      return "\(folderOfVersions)/\(newest)/bin"
    }
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    for folder in path.split(separator: ":") where isServer(String(folder)) { return String(folder) }
    if let existing {
      throw DevError(
        "\(dataFolder) was made by Postgres \(existing), which is not installed; install postgresql-\(existing)")
    }
    throw DevError("no Postgres server (\(oldestVersion) or newer) is installed; on Debian: apt-get install postgresql")
  }

  private static func isServer(_ folder: String) -> Bool {
    ["initdb", "postgres"].allSatisfy { access("\(folder)/\($0)", X_OK) == 0 }
  }

  private static func subfolders(of path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }

  // MARK: Running it

  private func program(_ name: String, _ tool: String, _ arguments: [String]) -> ChildProcess.Program {
    ChildProcess.Program(
      name: name, path: "\(binaries)/\(tool)", arguments: arguments,
      environment: ["PATH": "\(binaries):/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"], user: user,
      deathSignal: SIGINT)
  }

  /// Makes the folder's database cluster where there is none.
  func initialize(on reactor: Reactor, line: @escaping (String, String) -> Void) async throws {
    guard !PrivateFile.exists("\(folder)/PG_VERSION") else { return }
    // Beside the data, where its user may read and strangers may not make files.
    let passwordFile = "\(folder).password"
    try PrivateFile.write(Array(password.utf8), to: passwordFile)
    defer { unlink(passwordFile) }
    if let user { try systemCall("chown \(passwordFile)") { chown(passwordFile, user.uid, user.gid) } }
    var lines: [String] = []
    let initdb = try ChildProcess(
      program(
        "initdb", "initdb",
        [
          "--pgdata", folder, "--username", "postgres", "--pwfile", passwordFile, "--auth", "scram-sha-256",
          "--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums",
        ]), on: reactor
    ) { _, text in lines.append(text) }
    let ending = try await initdb.wait()
    guard ending == .exited(0) else {
      for text in lines { line("initdb", text) }
      throw DevError("initdb \(ending)")
    }
  }

  /// Starts the server and waits until it answers.
  func start(on reactor: Reactor, line: @escaping (String, String) -> Void) async throws -> ChildProcess {
    let server = try ChildProcess(
      program(
        "postgres", "postgres",
        [
          "-D", folder, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
          "-c", "log_checkpoints=off", "-c", "max_connections=200",
        ]), on: reactor, line: line)
    let url = url("postgres", database: "postgres")
    let deadline = Instant.current() + Self.startTimeout
    while true {
      if let ending = server.ending { throw DevError("postgres \(ending); its lines above say why") }
      let isUp = try await reactor.offload { (try? BlockingSession(url: url)) != nil }
      if isUp { break }
      guard Instant.current() < deadline else {
        await server.stop(SIGINT, grace: .seconds(5))
        throw DevError("postgres did not answer within \(Int(Self.startTimeout.inSeconds)) s")
      }
      try await reactor.sleep(for: .milliseconds(50))
    }
    return server
  }

  /// Makes the logins and the database where they are missing. Blocks.
  func prepareLogins() throws {
    let session = try BlockingSession(url: url("postgres", database: "postgres"))
    for (login, rights) in [(Self.owner, "CREATEROLE"), (Self.application, "")] {
      if try session.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", [login]).isEmpty {
        // The password is of base64url's letters: it needs no quoting.
        try session.execute("CREATE ROLE \(login) LOGIN PASSWORD '\(password)' NOSUPERUSER NOBYPASSRLS \(rights)")
      }
    }
    if try session.execute("SELECT 1 FROM pg_database WHERE datname = 'emailmcp'").isEmpty {
      try session.execute("CREATE DATABASE emailmcp OWNER \(Self.owner)")
    }
  }

  /// After the migration has made the group: services get its rights and no others. Blocks.
  func admitServices() throws {
    let session = try BlockingSession(url: url("postgres"))
    try session.execute("GRANT emailmcp_service TO \(Self.application)")
  }
}
