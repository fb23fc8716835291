import Dispatch
import EventLoop
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import PostgresClient

@Suite struct ReconnectTests {
  @Test("a terminated session fails its query honestly, and the next query has a new session")
  func reconnect() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.sharedConnections = 1 }) { pool in
      let first: Int = try await pool.query("SELECT pg_backend_pid()").only()[0]
      let error = await failure { try await pool.query("SELECT pg_terminate_backend(pg_backend_pid())") }
      #expect(error?.isUnavailable == true)
      let second: Int = try await pool.query("SELECT pg_backend_pid()").only()[0]
      #expect(first != second)
    }
  }

  @Test("a server that is not there is a clear error within the time to acquire")
  func unreachable() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      var configuration = try PostgresConfiguration(url: "postgres://user:secret@127.0.0.1:1/none")
      configuration.acquireTimeout = .seconds(2)
      let other = PostgresPool(configuration, reactor: pool.reactor)
      let error = await failure { try await other.query("SELECT 1") }
      #expect(error?.code == .connectionLost)
      #expect(error?.message.contains("refused") == true)
      #expect(error?.message.contains("secret") == false)
      await other.close()
    }
  }

  @Test(
    "a server without room, memory or a disk that works is out of reach, and a statement's own fault is not",
    arguments: [("53100", true), ("53200", true), ("53300", true), ("58030", true), ("23505", false), ("54000", false)])
  func unavailable(code: String, expected: Bool) {
    #expect(PostgresError(.init(rawValue: code), "").isUnavailable == expected)
  }

  @Test("a session that stands at the moment when the time to connect is over is taken, and taken alive")
  func connectTimeIsOverAtTheLastStep() async throws {
    let loop = try EventLoop.start(name: "test")
    let server = try LateServer {
      // The loop is busy while the time runs out and the answer comes: it meets both when it looks next.
      loop.execute { _ in usleep(600_000) }
    }
    let isReady = try await loop.run { reactor in
      var configuration = try PostgresConfiguration(url: "postgres://user@127.0.0.1:\(server.port)/x?sslmode=disable")
      configuration.connectTimeout = .milliseconds(300)
      let connection = try await PostgresConnection.open(for: PostgresPool(configuration, reactor: reactor))
      defer { connection.close() }
      return connection.state == .ready
    }
    #expect(isReady)
    await loop.shutdown()
  }

  @Test("of several servers one that keeps silent is given up for the next")
  func silentServer() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    // The system takes connections; nobody answers them.
    let silent = try Socket.listening(on: try SocketAddress(numericHost: "127.0.0.1", port: 0))
    defer { silent.close() }
    let port = try #require(silent.localAddress()?.port)
    let own = database.url(.owner)
    let url =
      own.contains("host=")
      ? own.replacing("host=", with: "host=127.0.0.1,").replacing("port=", with: "port=\(port),")
      : own.replacing("@", with: "@127.0.0.1:\(port),")
    try await onLoop { reactor in
      var configuration = try PostgresConfiguration(url: url)
      configuration.silenceTimeout = .milliseconds(100)
      configuration.connectTimeout = .seconds(20)
      configuration.acquireTimeout = .seconds(20)
      let pool = PostgresPool(configuration, reactor: reactor)
      #expect(try await pool.query("SELECT 1").only().column(0, as: Int.self) == 1)
      await pool.close()
    }
  }

  /// A pooler that lends servers by the transaction ran what another session had prepared under the same name.
  @Test("no two sessions prepare a statement under one name")
  func statementNames() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.sharedConnections = 1 }) { pool in
      let names: Statement = "SELECT string_agg(name, ' ') FROM pg_prepared_statements"
      let (one, other): (String, String) = (
        try await pool.query(names).only()[0], try await pool.queryApart(names).only()[0]
      )
      #expect(Set(one.split(separator: " ")).isDisjoint(with: other.split(separator: " ")))
    }
  }

  @Test("a server that takes no writes any more is left at once by all sessions", arguments: [true, false])
  func readOnlyServer(apart: Bool) async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(
      as: .owner,
      {
        $0.sharedConnections = 1
        $0.exclusiveConnections = 1
      }
    ) { pool in
      try await pool.query("SET default_transaction_read_only = on")
      try await pool.queryApart("SET default_transaction_read_only = on")
      let error = await failure {
        if apart { try await pool.queryApart("CREATE TABLE t ()") } else { try await pool.query("CREATE TABLE t ()") }
      }
      #expect(error?.code == .readOnlyTransaction)
      try await pool.query("CREATE TABLE t ()")
      try await pool.queryApart("CREATE TABLE u ()")
    }
  }

  @Test("so is one whose sessions only read, and by who listens too")
  func readOnlyServerUnnoticed() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.sharedConnections = 1 }) { pool in
      let events = Events(pool.reactor)
      let listener = pool.listen("news") { events.append($0) }
      #expect(try await events.next() == .listening)
      try await pool.query("SET default_transaction_read_only = on")
      pool.lookForWrites()
      let late = pool.reactor.schedule(after: .seconds(20)) { events.append(.notification("nothing happened")) }
      #expect(try await events.next() == .listening)
      late.cancel()
      try await pool.query("CREATE TABLE t ()")
      await listener.close()
    }
  }

  @Test(
    "who only reads stays with a server that takes no writes, unless the URL asks for one that does",
    arguments: ["", "read-write", "primary"])
  func readOnlyServerIsWanted(target: String) async throws {
    let database = try await PostgresFixture.database(migrated: false)
    let plain = database.url()
    let url = target.isEmpty ? plain : plain + (plain.contains("?") ? "&" : "?") + "target_session_attrs=\(target)"
    try await onLoop { reactor in
      var configuration = try PostgresConfiguration(url: url)
      configuration.needsWrites = false
      configuration.sharedConnections = 1
      let pool = PostgresPool(configuration, reactor: reactor)
      try await pool.query("SET default_transaction_read_only = on")
      pool.lookForWrites()
      _ = await pool.look?.result
      let setting: String = try await pool.query("SELECT current_setting('transaction_read_only')").only()[0]
      #expect(setting == (target == "read-write" ? "off" : "on"))
      await pool.close()
    }
  }

  @Test("cancels that a dead server leaves unanswered do not hold up looking for another")
  func unansweredCancels() async throws {
    let server = try LateServer(connections: 10)
    try await onLoop { reactor in
      let pool = PostgresPool(
        try PostgresConfiguration(url: "postgres://user@127.0.0.1:\(server.port)/x?sslmode=disable"), reactor: reactor)
      var connections: [PostgresConnection] = []
      for _ in 0..<5 {
        let connection = try await PostgresConnection.open(for: pool)
        connections.append(connection)
        let exchange = Exchange([Exchange.Command(statement: "SELECT 1", parameters: [])], isAtomic: true)
        connection.submit(exchange)
        while exchange.phase == .queued { try await reactor.sleep(for: .milliseconds(1)) }
        connection.abandon(exchange)
      }
      try await reactor.sleep(for: .milliseconds(10))
      let (began, limit) = (Instant.current(), Duration.seconds(10))
      reactor.schedule(after: limit) { server.close() }
      #expect(try await !reactor.resolve(host: "localhost", port: 80).isEmpty)
      #expect(.current() - began < limit)
      for connection in connections { connection.close() }
      await pool.close()
    }
    server.close()
  }

  @Test(
    "a URL that cannot be read is refused without being repeated",
    arguments: [
      "postgres://user:hunter2@host:port:port/x?nonsense=1", "postgress://user:hunter2@127.0.0.1/x",
      "postgres://user:hunter2@127.0.0.1/x?sslmode=foo", "postgres://user:hunter2@127.0.0.1:99999/x",
      "postgres://user:hunter2@127.0.0.1:5432,127.0.0.1:0/x", "postgres://user:hunter2@a,b,c/x?port=1,2",
    ])
  func badURL(url: String) {
    let errors = [
      #expect(throws: PostgresError.self) { try PostgresConfiguration(url: url) },
      #expect(throws: PostgresError.self) { try BlockingSession(url: url) },
    ]
    for error in errors {
      #expect(error?.code == .configuration && error?.message.contains("hunter2") == false)
    }
  }

  @Test("a notification reaches its listener, also after the listener's session was lost")
  func listen() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      let events = Events(pool.reactor)
      let listener = pool.listen("news") { events.append($0) }
      #expect(try await events.next() == .listening)
      try await pool.query("SELECT pg_notify('news', $1)", ["one"])
      #expect(try await events.next() == .notification("one"))
      try await pool.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE 'LISTEN%'")
      #expect(try await events.next() == .listening)
      try await pool.query("SELECT pg_notify('news', $1)", ["two"])
      #expect(try await events.next() == .notification("two"))
      await listener.close()
    }
  }
}

extension ReconnectTests {
  @Test("a listener says that it listens when the server has said so, and not before", .timeLimit(.minutes(1)))
  func listensWhenAnswered() async throws {
    let server = try HeldServer()
    try await onLoop { reactor in
      let pool = PostgresPool(
        try PostgresConfiguration(url: "postgres://user@127.0.0.1:\(server.port)/x?sslmode=disable"), reactor: reactor)
      let events = Events(reactor)
      let listener = pool.listen("news") { events.append($0) }
      while !server.isAsked { await reactor.yield() }
      #expect(events.isEmpty)
      server.answer()
      #expect(try await events.next() == .listening)
      await listener.close()
      await pool.close()
    }
  }

  @Test("a session whose server has fallen silent, to cancels too, is given up", .timeLimit(.minutes(1)))
  func silentSession() async throws {
    let server = try HeldServer()
    try await onLoop { reactor in
      let pool = PostgresPool(
        try PostgresConfiguration(url: "postgres://user@127.0.0.1:\(server.port)/x?sslmode=disable"), reactor: reactor)
      pool.warmUp()
      while pool.shared.isEmpty { await reactor.yield() }
      let error = await failure { try await pool.query("SELECT 1", timeout: .milliseconds(50)) }
      #expect(error?.code == .timeout && error?.mayHaveExecuted == true)
      while !pool.shared.isEmpty { try await reactor.sleep(for: .milliseconds(10)) }
      server.answer()
      await pool.close()
    }
  }
}

/// A server that lets a session in, and does not answer what it is asked until it is told to: then as if it were LISTEN.
private final class HeldServer: Sendable {
  let port: UInt16
  private let asked = DispatchSemaphore(value: 0)
  private let told = DispatchSemaphore(value: 0)

  /// True once.
  var isAsked: Bool { asked.wait(timeout: .now()) == .success }

  func answer() { told.signal() }

  init() throws {
    let listener = try Socket.listening(on: try SocketAddress(numericHost: "127.0.0.1", port: 0))
    port = listener.localAddress()?.port ?? 0
    let (asked, told) = (asked, told)
    Thread.detachNewThread {
      var pending = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
      poll(&pending, 1, 20_000)
      let peer = accept(listener.descriptor, nil, nil)
      var bytes = [UInt8](repeating: 0, count: 1024)
      func answer(_ message: [UInt8]) { _ = send(peer, message, message.count, Int32(MSG_NOSIGNAL)) }
      _ = recv(peer, &bytes, bytes.count, 0)
      // AuthenticationOk and ReadyForQuery.
      answer([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5A, 0, 0, 0, 5, 0x49])
      _ = recv(peer, &bytes, bytes.count, 0)
      asked.signal()
      told.wait()
      // ParseComplete, BindComplete, NoData, CommandComplete and ReadyForQuery.
      answer(
        [0x31, 0, 0, 0, 4, 0x32, 0, 0, 0, 4, 0x6E, 0, 0, 0, 4, 0x43, 0, 0, 0, 11] + Array("LISTEN\0".utf8)
          + [0x5A, 0, 0, 0, 5, 0x49])
      _ = recv(peer, &bytes, bytes.count, 0)
      close(peer)
      listener.close()
    }
  }
}

/// Takes connections and lets each in as a server that asks for no password does, a moment after `beforeAnswer`. It answers
/// nothing else, cancels included.
private final class LateServer: Sendable {
  let port: UInt16
  private let peers = Mutex<[Int32]>([])

  init(connections: Int = 1, beforeAnswer: @escaping @Sendable () -> Void = {}) throws {
    let listener = try Socket.listening(on: try SocketAddress(numericHost: "127.0.0.1", port: 0))
    port = listener.localAddress()?.port ?? 0
    Thread.detachNewThread { [self] in
      for _ in 0..<connections {
        var pending = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
        poll(&pending, 1, 20_000)
        let peer = accept(listener.descriptor, nil, nil)
        peers.withLock { $0.append(peer) }
        var startup = [UInt8](repeating: 0, count: 1024)
        // A cancel's are 16.
        guard recv(peer, &startup, startup.count, 0) > 16 else { continue }
        beforeAnswer()
        usleep(50_000)
        // AuthenticationOk and ReadyForQuery.
        let answer: [UInt8] = [0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5A, 0, 0, 0, 5, 0x49]
        _ = send(peer, answer, answer.count, Int32(MSG_NOSIGNAL))
      }
      listener.close()
    }
  }

  func close() { for peer in peers.withLock({ $0 }) { shutdown(peer, Int32(SHUT_RDWR)) } }

  deinit { for peer in peers.withLock({ $0 }) { Glibc.close(peer) } }
}

/// Collects a listener's events for a test that awaits them.
private final class Events {
  private let reactor: Reactor
  private var events: [PostgresListener.Event] = []
  private var waiter: Waiter<Void>?

  init(_ reactor: Reactor) { self.reactor = reactor }

  var isEmpty: Bool { events.isEmpty }

  func append(_ event: PostgresListener.Event) {
    events.append(event)
    waiter?.resume(returning: ())
    waiter = nil
  }

  func next() async throws -> PostgresListener.Event {
    if events.isEmpty { try await reactor.wait { waiter = $0 } }
    return events.removeFirst()
  }
}
