import CivilTime
import EventLoop
import Logging
import PostgresClient

/// Carries one leased mail to its end: performs what `SendAttempt` decides. On one loop.
final class Courier {
  /// For one request to Gmail, besides what a large mail takes.
  static let requestTimeout: Duration = .seconds(60)
  /// What a slow line carries at least, in bytes a second.
  static let slowestLine = 64 << 10

  private let reactor: Reactor
  private let store: MailStore
  private let gmail: GmailClient
  private let tokens: TokenSource
  private let seal: PayloadSeal
  private let board: OutcomeBoard
  private let pause: ProjectPause
  private let awaited: AwaitedMail
  private var bulkRoom = BulkRoom()
  private let logger: Logger
  private let metrics: MailerMetrics
  /// Set when the process is about to stop: what has not left stays in the queue.
  var isDraining = false
  private var inHand = 0
  private var idleWaiter: Waiter<Void>?

  init(
    reactor: Reactor, store: MailStore, gmail: GmailClient, tokens: TokenSource, seal: PayloadSeal, shared: SharedState,
    metrics: MailerMetrics, logger: Logger
  ) {
    self.reactor = reactor
    self.store = store
    self.gmail = gmail
    self.tokens = tokens
    self.seal = seal
    board = shared.board
    pause = shared.pause
    awaited = shared.awaited
    self.metrics = metrics
    self.logger = logger
  }

  /// The lease's clock: it never goes back, and goes on while the machine sleeps, as the database's does.
  static func clock() -> Duration { clockOrigin.duration(to: .now) }

  private static let clockOrigin = ContinuousClock.now

  /// A lease that was just given, or will be by a statement that is about to start.
  static func lease(epoch: Int64, askedAt: Duration) -> Lease { Lease(epoch: epoch, until: askedAt + Lease.duration) }

  func carry(_ delivery: Delivery, _ attempt: SendAttempt, _ first: SendAttempt.Action) async -> DeliveryEnd {
    inHand += 1
    if attempt.awaitedUntil != nil { awaited.seen(at: Self.clock()) }
    defer {
      inHand -= 1
      if inHand == 0 { idleWaiter?.resume(returning: ()) }
    }
    var work = Work(delivery: delivery, attempt: attempt, story: DeliveryStory(first, at: .now()))
    var action = first
    while true {
      if isDraining { action = work.attempt.draining(action, time: .now()) }
      do {
        switch try await perform(action, &work) {
        case .next(let next): action = next
        case .end(let end):
          if case .final(let outcome, let time) = end { board.post(delivery.key.id, outcome, at: time) }
          return end
        }
      } catch {
        let failure = error as? PostgresError
        action = work.attempt.databaseFailed(
          isTransient: failure?.isUnavailable == true || failure?.isRetryable == true, now: Self.clock(),
          jitter: .random(in: 0..<1))
        if action == .abandon {
          logger.warning(
            "a mail was left to its lease", metadata: ["message_id": "\(delivery.key.id)", "error": "\(error)"])
        }
      }
    }
  }

  /// How many mails of the queue may be in hand now.
  var bulkCapacity: Int {
    bulkRoom.capacity(lastAwaited: awaited.last, now: Self.clock())
  }

  /// Waits until nothing is in hand.
  func waitUntilIdle(atMost limit: Duration) async {
    guard inHand > 0 else { return }
    try? await reactor.wait(atMost: limit) { idleWaiter = $0 }
    idleWaiter = nil
  }

  private struct Work {
    var delivery: Delivery
    var attempt: SendAttempt
    var story: DeliveryStory

    var leased: MailStore.Leased {
      MailStore.Leased(key: delivery.key, googleSub: delivery.googleSub, epoch: attempt.lease.epoch)
    }
  }

  private enum Step {
    case next(SendAttempt.Action)
    case end(DeliveryEnd)
  }

  private func perform(_ action: SendAttempt.Action, _ work: inout Work) async throws -> Step {
    let key = work.delivery.key
    let epoch = work.attempt.lease.epoch
    switch action {
    case .obtainToken:
      return .next(await obtainToken(&work, refused: nil))
    case .renewToken:
      work.story.tokenRefused(at: .now())
      return .next(await obtainToken(&work, refused: work.delivery.token))
    case .renewLease:
      let asked = Self.clock()
      let isMine = try await store.renewLease(key, epoch: epoch)
      return .next(
        work.attempt.leaseRenewed(isMine: isMine, until: asked + Lease.duration, now: Self.clock()))
    case .recordIntent:
      let intent = try await store.recordIntent(work.leased)
      if intent == .recorded { work.story.intentRecorded() }
      return .next(work.attempt.intentAnswered(intent, now: Self.clock(), time: .now()))
    case .send:
      work.story.sending(at: .now())
      let verdict = await send(work)
      work.story.answered(verdict)
      return .next(
        work.attempt.answered(verdict, now: Self.clock(), time: .now(), jitter: .random(in: 0..<1)))
    case .finish(let outcome):
      return .end(try await finish(outcome, &work))
    case .requeue(let requeue):
      return .end(try await giveBack(requeue, &work))
    case .wait(let delay):
      try await reactor.sleep(for: delay)
      return .next(work.attempt.waited())
    case .abandon:
      logger.notice("a mail is no longer in this worker's hands", metadata: ["message_id": "\(key.id)"])
      return .end(.lost)
    }
  }

  // MARK: Steps

  private func obtainToken(_ work: inout Work, refused: AccessToken?) async -> SendAttempt.Action {
    // A token may take longer than a lease. Where Gmail refused the last one the intent is recorded: were the lease to
    // lapse now, a mail that was certainly not taken would be called unknown.
    let renewal = LeaseRenewal(reactor: reactor, store: store, key: work.delivery.key, epoch: work.attempt.lease.epoch)
    renewal.start()
    defer { renewal.stop() }
    do throws(AccountError) {
      let user = work.delivery.user
      let token =
        if let refused { try await tokens.token(of: user, afterRefusalOf: refused) } else {
          try await tokens.token(of: user)
        }
      guard token.account.googleSub.utf8.elementsEqual(work.delivery.googleSub.utf8) else {
        return work.attempt.tokenFailed(.otherAccount, now: Self.clock(), time: .now(), jitter: 0)
      }
      work.delivery.token = token
      // Upkeep has another mail look where this fails.
      if work.delivery.looksForAccount { _ = try? await store.unpark(work.delivery.user) }
      return work.attempt.tokenObtained(now: Self.clock())
    } catch {
      let failure: SendAttempt.TokenFailure = error == .unavailable ? .unavailable : .reauthRequired
      return work.attempt.tokenFailed(failure, now: Self.clock(), time: .now(), jitter: .random(in: 0..<1))
    }
  }

  private func send(_ work: Work) async -> GmailVerdict {
    guard let token = work.delivery.token else { return .notSent(reason: "no_token") }
    let renewal = LeaseRenewal(reactor: reactor, store: store, key: work.delivery.key, epoch: work.attempt.lease.epoch)
    renewal.start()
    defer { renewal.stop() }
    let start = Instant.current()
    pause.count()
    let verdict = await gmail.send(Self.request(work.delivery.mail, token.token, under: work.attempt.lease))
    let took = Instant.current() - start
    metrics.gmailRequest(took)
    bulkRoom.answered(in: took, now: Self.clock())
    if case .refused(let refusal) = verdict, refusal.kind == .scopeMissing {
      await tokens.reportMissingScope(token, of: work.delivery.user)
    }
    log(verdict, work)
    return verdict
  }

  static func request(_ mail: MailPayload, _ accessToken: String, under lease: Lease) -> GmailClient.Request {
    GmailClient.Request(
      mail: mail.mail, threadID: mail.threadID, accessToken: accessToken,
      timeout: requestTimeout + .seconds(mail.mail.count / slowestLine), notAfter: clockOrigin + lease.until)
  }

  private func log(_ verdict: GmailVerdict, _ work: Work) {
    let what: Logger.Metadata? =
      switch verdict {
      case .success: nil
      case .refused(let refusal): ["verdict": "refused", "reason": "\(refusal.reason)"]
      case .notSent(let reason): ["verdict": "not_sent", "reason": "\(reason)"]
      case .notProcessed: ["verdict": "not_processed"]
      case .unknown(let reason, _): ["verdict": "unknown", "reason": "\(reason)"]
      }
    guard var metadata = what else { return }
    metadata["message_id"] = "\(work.delivery.key.id)"
    logger.info("Gmail did not take a mail", metadata: metadata)
  }

  private func finish(_ outcome: SendOutcome, _ work: inout Work) async throws -> DeliveryEnd {
    let now = Timestamp.now()
    var recipients: [String] = []
    if case .success = outcome { recipients = work.delivery.mail.recipients }
    let record = MailStore.Outcome(
      outcome: outcome, at: now, attempts: work.attempt.attempts, recipients: recipients, story: work.story)
    let isMine = try await store.record(record, of: work.leased, isAwaited: work.attempt.awaitedUntil != nil)
    work.attempt.ended()
    guard isMine else { return .lost }
    metrics.outcome(outcome.status)
    return .final(outcome, at: now)
  }

  private func giveBack(_ requeue: SendAttempt.Requeue, _ work: inout Work) async throws -> DeliveryEnd {
    if requeue.pausesProject {
      pause.pause(until: .current() + (requeue.at - .now()), isCut: requeue.reason == .projectRate)
    }
    let payload =
      work.delivery.isPayloadStored ? nil : try seal.seal(work.delivery.mail, of: work.delivery.key)
    let isMine = try await store.requeue(
      requeue, of: work.delivery.key, epoch: work.attempt.lease.epoch, googleSub: work.delivery.googleSub,
      attempts: work.attempt.attempts, payload: payload, story: work.story)
    work.attempt.ended()
    return isMine ? .requeued : .lost
  }
}
