import CivilTime
import EventLoop
import Logging
import SecretVault

/// Takes due mail from the queue and has it carried, as much at a time as it has room for. On one loop.
final class QueueWorker {
  /// Mails leased in one claim.
  static let batch = 32
  /// How often the queue is looked at while there was work lately, and when there was none.
  static let busyInterval: Duration = .milliseconds(100)
  static let idleInterval: Duration = .seconds(1)
  /// Hints within this time make one look.
  static let hintInterval: Duration = .milliseconds(5)

  struct Polling: Sendable {
    var busy = QueueWorker.busyInterval
    var idle = QueueWorker.idleInterval
  }

  private let reactor: Reactor
  private let store: MailStore
  private let courier: Courier
  private let seal: PayloadSeal
  private let pause: ProjectPause
  private let name: String
  private let polling: Polling
  private let looksForLost: Bool
  private let logger: Logger
  private let room: PayloadRoom
  private var loop: Task<Void, any Error>?
  private var inHand = 0
  private var isStopping = false
  private var lastWork: Instant
  private var lookedForLostAt = Instant(nanoseconds: 0)
  private var headStart = HeadStart()
  private var isHinted = false
  /// The project's quota is used up; there will be more in a moment.
  private var isThrottled = false
  private var sleeper: Waiter<Void>?
  /// Told that mail is due which this worker has little room for: others may have more.
  var onCrowded: (() -> Void)?

  /// - Parameter name: who leases, for people who read the queue.
  /// - Parameter looksForLost: also for what dead workers left; one worker of a process is enough.
  /// - Parameter room: for the large mail that it has in hand.
  init(
    reactor: Reactor, store: MailStore, courier: Courier, seal: PayloadSeal, pause: ProjectPause, name: String,
    polling: Polling, looksForLost: Bool, room: PayloadRoom, logger: Logger
  ) {
    self.reactor = reactor
    self.store = store
    self.courier = courier
    self.seal = seal
    self.pause = pause
    self.name = name
    self.polling = polling
    self.looksForLost = looksForLost
    self.logger = logger
    self.room = room
    lastWork = .current()
  }

  func start() {
    loop = reactor.spawn { [self] in
      while !isStopping {
        let mayBeMore = await lookOnce()
        if isStopping { return }
        if !mayBeMore { try await rest() }
      }
    }
  }

  /// Something may be due now.
  func hint() {
    guard !isHinted else { return }
    isHinted = true
    lastWork = reactor.now
    reactor.schedule(after: Self.hintInterval) { [weak self] in
      self?.sleeper?.resume(returning: ())
    }
  }

  /// Mail was queued here: somebody should look.
  func offer() {
    if inHand > courier.bulkCapacity / 2 || isStopping { onCrowded?() }
    hint()
  }

  /// Claims nothing more; what has not left goes back to the queue.
  func stop() async {
    isStopping = true
    courier.isDraining = true
    sleeper?.resume(returning: ())
    _ = await loop?.result
  }

  // MARK: Looking

  private func rest() async throws {
    if isThrottled { return try await reactor.sleep(for: ProjectQuota.interval) }
    let busy = reactor.now - lastWork < .seconds(5)
    let interval = (busy ? polling.busy : polling.idle) * Double.random(in: 0.9..<1.1)
    // A hint that came while the queue was being looked at.
    if isHinted { return try await reactor.sleep(for: Self.hintInterval) }
    defer { sleeper = nil }
    try await reactor.wait(atMost: interval) { sleeper = $0 }
  }

  /// - Returns: whether to look again at once.
  private func lookOnce() async -> Bool {
    isHinted = false
    await lookForLost()
    let wanted = max(0, min(Self.batch, courier.bulkCapacity - inHand))
    let places = min(wanted, pause.room(at: .current()))
    isThrottled = wanted > 0 && places == 0
    guard places > 0 else { return false }
    let asked = Courier.clock()
    do {
      let look = try await store.claim(worker: name, limit: places, lapsed: headStart.whenOver)
      headStart.looked(at: look.at)
      for mail in look.mails { take(mail, askedAt: asked) }
      if !look.mails.isEmpty { lastWork = .current() }
      return look.mails.count == places
    } catch {
      headStart.looked(at: nil)
      logger.debug("the queue could not be looked at", metadata: ["error": "\(error)"])
      return false
    }
  }

  /// What a dead worker left without a request to make waits for no room.
  private func lookForLost() async {
    guard looksForLost, reactor.now - lookedForLostAt >= Upkeep.lapsedInterval else { return }
    lookedForLostAt = reactor.now
    let asked = Courier.clock()
    // Before a head start's end none is taken, but asked all the same: a queue that has no room makes no other look.
    let look = try? await store.claimLost(worker: name, limit: Self.batch, lapsed: headStart.whenOver)
    headStart.looked(at: look?.at)
    for mail in look?.mails ?? [] { take(mail, askedAt: asked) }
  }

  private func take(_ mail: MailStore.ClaimedMail, askedAt: Duration) {
    inHand += 1
    reactor.spawn { [self] in
      await carry(mail, askedAt: askedAt)
      inHand -= 1
      // The mailbox's next mail may be due now.
      if !isStopping { hint() }
    }
  }

  /// A large payload is read when there is room for it; its lease is renewed meanwhile.
  ///
  /// - Parameter taken: of the room.
  private func storedPayload(of mail: MailStore.ClaimedMail, _ taken: inout Int) async throws -> [UInt8]? {
    if let payload = mail.payload { return payload }
    let renewal = LeaseRenewal(reactor: reactor, store: store, key: mail.key, epoch: mail.epoch)
    renewal.start()
    defer { renewal.stop() }
    try await room.enter(mail.payloadBytes)
    taken = mail.payloadBytes
    return try await store.payload(of: mail.key, count: mail.payloadBytes)
  }

  private func carry(_ mail: MailStore.ClaimedMail, askedAt: Duration) async {
    var attempt = SendAttempt(
      lease: Courier.lease(epoch: mail.epoch, askedAt: askedAt), attempts: mail.attempts,
      ambiguousTries: mail.ambiguousTries, policy: mail.policy, failingSince: mail.failingSince, awaitedUntil: nil,
      hasIntent: mail.hasIntent)
    var first = attempt.claimed()
    var taken = 0
    defer { room.leave(taken) }
    do {
      // Nothing is opened of a mail that will not be sent.
      var payload = MailPayload(mail: [], threadID: nil, recipients: [])
      if first == .obtainToken {
        guard let stored = try await storedPayload(of: mail, &taken) else { return }
        do throws(SealError) {
          payload = try seal.open(consume stored, of: mail.key)  // its bytes become the mail's
        } catch {
          first = attempt.payloadUnreadable(time: .now(), jitter: .random(in: 0..<1))
          logger.error(
            "a mail in the queue does not open: is its key among EMAILMCP_VAULT_KEYS?",
            metadata: ["message_id": "\(mail.key.id)", "error": "\(error)"])
        }
      }
      let delivery = Delivery(
        key: mail.key, googleSub: mail.googleSub, mail: payload, token: nil, isPayloadStored: mail.payloadBytes > 0,
        looksForAccount: mail.looksForAccount)
      _ = await courier.carry(delivery, attempt, first)
    } catch {
      // The lease lapses and the mail is tried again.
      logger.error(
        "a mail in the queue could not be read", metadata: ["message_id": "\(mail.key.id)", "error": "\(error)"])
    }
  }
}
