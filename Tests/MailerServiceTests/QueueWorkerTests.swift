import CivilTime
import EventLoop
import TestSupport
import Testing

@testable import MailerService

@Suite("A mail in a worker's hands")
struct CourierTests {
  @Test(
    "A mail that somebody waits for makes the queue's give way, by what Gmail takes; one that nobody waits for does not"
  )
  func awaited() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try await harness.withCourier { courier, store, shared in
        try await harness.carryOne(courier, store, isAwaited: false)
        #expect(shared.awaited.last == nil && courier.bulkCapacity == BulkRoom.most)
        let before = Courier.clock()
        try await harness.carryOne(courier, store, isAwaited: true)
        let seen = try #require(shared.awaited.last)
        #expect(before <= seen && seen <= Courier.clock())
        shared.awaited.seen(at: Courier.clock() + .seconds(3600))
        // On a busy machine Gmail's first answers may take long.
        let givesWay = try await harness.eventually {
          try await harness.carryOne(courier, store, isAwaited: false)
          return courier.bulkCapacity < BulkRoom.most
        }
        #expect(givesWay)
      }
    }
  }

  @Test(
    "A request may take a minute, and what a slow line needs for its mail; none begins after its lease",
    arguments: [(0, 60), (65_535, 60), (65_536, 61), (25 << 20, 460)])
  func requestTime(bytes: Int, seconds: Int) {
    let mail = MailPayload(mail: [UInt8](repeating: 0, count: bytes), threadID: "t", recipients: ["bob@example.com"])
    let now = Courier.clock()
    let request = Courier.request(mail, "token", under: Lease(epoch: 1, until: now + .seconds(9)))
    #expect(request.timeout == .seconds(seconds) && request.mail.count == bytes)
    #expect(request.threadID == "t" && request.accessToken == "token")
    let left = request.notAfter.map { $0 - .now } ?? .zero
    #expect(left > .seconds(1) && left <= .seconds(9))
  }
}

@Suite("A worker of the queue")
struct QueueWorkerTests {
  @Test("It tells the others of mail while it has more than half of what it may in hand, and when it ends")
  func crowded() async throws {
    let users = (0...BulkRoom.most / 2).map { "user\($0)" }
    try await MailerHarness.run(mailers: 0, users: users) { harness in
      harness.gmail.script = { _, _ in .held }
      try await harness.withCourier { courier, store, shared in
        let worker = harness.worker(courier, store, shared)
        var rings = 0
        worker.onCrowded = { rings += 1 }
        worker.offer()
        try await harness.queue(users.dropLast(), store)
        worker.start()
        #expect(try await harness.eventually { harness.gmail.requests.count == users.count - 1 })
        worker.offer()
        #expect(rings == 0, "half is not more than half")
        try await harness.queue(users.suffix(1), store)
        #expect(try await harness.eventually { harness.gmail.requests.count == users.count })
        worker.offer()
        #expect(rings == 1)
        harness.gmail.release()
        let hasRoom = try await harness.eventually {
          let before = rings
          worker.offer()
          return rings == before
        }
        #expect(hasRoom)
        await worker.stop()
        let before = rings
        worker.offer()
        #expect(rings == before + 1)
      }
    }
  }

  @Test("Beside mail that somebody waits for it takes no more than keeps it busy, though much is due")
  func givesWay() async throws {
    let users = (0..<BulkRoom.most).map { "user\($0)" }
    try await MailerHarness.run(mailers: 0, users: users) { harness in
      try await harness.withCourier { courier, store, shared in
        shared.awaited.seen(at: Courier.clock() + .seconds(3600))
        let isQuick = try await harness.eventually {
          try await harness.carryOne(courier, store, user: users[0], isAwaited: false)
          return courier.bulkCapacity < QueueWorker.batch
        }
        #expect(isQuick)
        let (room, before) = (courier.bulkCapacity, harness.gmail.requests.count)
        harness.gmail.script = { _, _ in .held }
        try await harness.queue(users, store)
        let worker = harness.worker(courier, store, shared)
        worker.start()
        #expect(try await harness.eventually { harness.gmail.requests.count == before + room })
        // Some looks more.
        try await harness.reactor.sleep(for: .milliseconds(50))
        #expect(harness.gmail.requests.count == before + room)
        shared.awaited.seen(at: Courier.clock() - .seconds(3600))
        #expect(try await harness.eventually { harness.gmail.requests.count == before + users.count })
        harness.gmail.release()
        await worker.stop()
      }
    }
  }

  /// Five seconds, which is when a lease is renewed.
  @Test("A lease is renewed while Gmail, a token or room for a large mail is waited for; the room is given back")
  func renewal() async throws {
    try await MailerHarness.run(mailers: 0, users: ["ann", "bea", "cat"]) { harness in
      harness.gmail.script = { number, _ in number == 1 ? .held : .success }
      try await harness.withCourier { courier, store, shared in
        let room = PayloadRoom(reactor: harness.reactor)
        try await room.enter(PayloadRoom.capacity)
        let worker = harness.worker(courier, store, shared, room: room)
        worker.start()
        try await harness.queue(["ann"], store)
        try await harness.gmail.nextHeld()
        harness.oauth.answer = .held
        try await harness.queue(["bea"], store)
        try await harness.queue(["cat"], store, bytes: PayloadSeal.pieceSize + 1)
        // Under the first lease: one that lapses is taken again.
        func leased(after time: String) throws -> Bool {
          try harness.value("SELECT count(*) FROM send_jobs WHERE epoch = 1 AND lease_until > \(time)") == "3"
        }
        #expect(try await harness.eventually { try leased(after: "now()") })
        let latest = try #require(try harness.value("SELECT max(lease_until) FROM send_jobs"))
        #expect(try await harness.eventually { try leased(after: "'\(latest)'::timestamptz + interval '1 s'") })
        #expect(harness.gmail.requests.count == 1)
        room.leave(PayloadRoom.capacity)
        #expect(try await harness.eventually { room.taken > PayloadSeal.pieceSize })
        harness.gmail.release()
        harness.oauth.release()
        let allWent = try await harness.eventually {
          try harness.value("SELECT count(*) FROM email_logs WHERE status = 'success'") == "3"
        }
        #expect(allWent)
        #expect(try await harness.eventually { room.taken == 0 })
        await worker.stop()
      }
    }
  }

  @Test("A large mail that does not open gives its room back")
  func unreadable() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try await harness.withCourier { courier, store, shared in
        try await harness.queue(["ann"], store, bytes: PayloadSeal.pieceSize + 1)
        try harness.database.execute("UPDATE send_jobs SET payload = payload || 'x'")
        let room = PayloadRoom(reactor: harness.reactor)
        let worker = harness.worker(courier, store, shared, room: room)
        worker.start()
        #expect(try await harness.eventually { try harness.value("SELECT parked FROM send_jobs") == "unreadable" })
        #expect(try await harness.eventually { room.taken == 0 })
        await worker.stop()
      }
    }
  }
}

extension MailerHarness {
  fileprivate func worker(
    _ courier: Courier, _ store: MailStore, _ shared: SharedState, room: PayloadRoom? = nil
  ) -> QueueWorker {
    QueueWorker(
      reactor: reactor, store: store, courier: courier, seal: PayloadSeal(keys: Self.keys), pause: shared.pause,
      name: "w", polling: .init(busy: .milliseconds(1), idle: .milliseconds(1)), looksForLost: false,
      room: room ?? PayloadRoom(reactor: reactor), logger: Self.logger)
  }

  /// Queues a mail of each user.
  fileprivate func queue(_ users: some Sequence<String>, _ store: MailStore, bytes: Int = 100) async throws {
    let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
    for user in users {
      let key = MailKey(tenantID: "acme", userID: user, id: UniqueID(at: now, random: (2, .random(in: 0...1 << 60))))
      var acceptance = try acceptance(of: key)
      let mail = [UInt8](repeating: UInt8(ascii: "x"), count: bytes)
      acceptance.payload = try seal(MailPayload(mail: mail, threadID: nil, recipients: ["bob@example.com"]), of: key)
      #expect(try await store.accept(acceptance) == .queued)
    }
  }

  /// Queues a mail of a user, claims it and has it carried to its end.
  fileprivate func carryOne(
    _ courier: Courier, _ store: MailStore, user: String = "ann", isAwaited: Bool
  ) async throws {
    try await queue([user], store)
    var claimed: [MailStore.ClaimedMail] = []
    #expect(
      try await eventually {
        claimed = try await store.claim(worker: "w", limit: 1, lapsed: true)
        return !claimed.isEmpty
      })
    let mail = try #require(claimed.first)
    var attempt = SendAttempt(
      lease: Courier.lease(epoch: mail.epoch, askedAt: Courier.clock()), attempts: 0, ambiguousTries: 0, policy: .hold,
      failingSince: nil, awaitedUntil: isAwaited ? Courier.clock() + .seconds(60) : nil, hasIntent: false)
    let first = attempt.claimed()
    let payload = try PayloadSeal(keys: Self.keys).open(try #require(mail.payload), of: mail.key)
    let delivery = Delivery(
      key: mail.key, googleSub: mail.googleSub, mail: payload, token: nil, isPayloadStored: true)
    guard case .final(.success, _) = await courier.carry(delivery, attempt, first) else {
      Issue.record("the mail did not go")
      return
    }
  }
}
