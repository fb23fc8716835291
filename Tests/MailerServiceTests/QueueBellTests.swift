import CivilTime
import PostgresClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("The bell between mailers: a hint, and no more")
struct QueueBellTests {
  @Test("A hundred rings at once are one notification")
  func debounced() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let pool = PostgresPool(try PostgresConfiguration(url: harness.database.url()), reactor: harness.reactor)
      let bell = QueueBell(reactor: harness.reactor, pool: pool)
      var heard = 0
      let listener = bell.listen { heard += 1 }
      // The first one is that the ear is open.
      #expect(try await harness.eventually { heard == 1 })
      for round in 1...3 {
        for _ in 0..<100 { bell.ring() }
        #expect(try await harness.eventually { heard == 1 + round })
      }
      // What was sent before this one has been heard before it.
      try harness.database.execute("NOTIFY emailmcp_queue")
      #expect(try await harness.eventually { heard >= 5 })
      #expect(heard == 5)
      await listener.close()
      await pool.close()
    }
  }

  @Test("A mailer that does not look by itself takes, when rung, what another has no room for")
  func rung() async throws {
    let users = (0..<BulkRoom.most + 8).map { "user\($0)" }
    try await MailerHarness.run(users: users) { harness in
      harness.gmail.script = { _, _ in .held }
      try await harness.startMailer(polling: .init(busy: .seconds(3600), idle: .seconds(3600)))
      for user in users {
        _ = try await harness.send(user: user) { $0.wait = ProtobufDuration(.zero) }
      }
      #expect(try await harness.eventually { harness.gmail.requests.count == users.count })
      #expect(try harness.value("SELECT count(DISTINCT lease_owner) FROM send_jobs") == "2")
    }
  }

  @Test("Mail of which no notification tells is found by looking")
  func polled() async throws {
    try await MailerHarness.run(mailers: 2) { harness in
      // Their first looks are over.
      for mailer in 0..<2 { _ = try await harness.send(mailer: mailer) { $0.wait = ProtobufDuration(.zero) } }
      #expect(try await harness.eventually { harness.gmail.requests.count == 2 })
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
      try await harness.withStore { _ = try await $0.accept(harness.acceptance(of: key)) }
      #expect(try await harness.eventually { harness.gmail.requests.count == 3 })
    }
  }
}
