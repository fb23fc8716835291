import CivilTime
import EventLoop
import Logging
import MailSyntax
import PostgresClient
import RPCRuntime
import ServiceContracts
import ServiceKit
import TLSSession
import WireCodec

/// Accepts mail and, where its sender waits, sees it through to its outcome. On one loop.
///
/// The common case takes two transactions and one request to Gmail: accept with lease and intent, send, record.
final class MessageSender {
  static let defaultWait: Duration = .seconds(30)
  static let longestWait: Duration = .seconds(60)
  /// The age of a mail for whose outcome no call waits any longer.
  static let forgottenAfter = longestWait + .seconds(15)
  /// How long a token may take before a mail is accepted without one. The edge gives this call 15 s more than its wait.
  static let tokenPatience: Duration = .seconds(10)
  /// How often one who waits for mail that another process may have looks into the log.
  static let lookInterval: Duration = .milliseconds(500)

  private let reactor: Reactor
  let store: MailStore
  private let tokens: TokenSource
  private let courier: Courier
  private let worker: QueueWorker
  private let seal: PayloadSeal
  private let shared: SharedState
  private let unsent: UnsentLimit
  private let links: UnsubscribeLinks
  private let name: String
  private let logger: Logger

  init(
    reactor: Reactor, store: MailStore, tokens: TokenSource, courier: Courier, worker: QueueWorker, seal: PayloadSeal,
    shared: SharedState, unsent: UnsentLimit, links: UnsubscribeLinks, name: String, logger: Logger
  ) {
    self.reactor = reactor
    self.store = store
    self.tokens = tokens
    self.courier = courier
    self.worker = worker
    self.seal = seal
    self.shared = shared
    self.unsent = unsent
    self.links = links
    self.name = name
    self.logger = logger
  }

  /// - Parameter isOfBatch: one of many mails on one call.
  func send(
    _ request: Mailer.SendMessageRequest, _ call: ServiceCall, isOfBatch: Bool = false
  ) async throws -> Mailer.SendMessageResponse {
    let arrival = Instant.current()
    let user = call.user
    let idempotency = try Order.idempotency(request)
    do {
      var order = try Order(
        request, of: user, idempotency, links: links, credentialID: call.context.credentialID, arrival: arrival)
      order.isBulk = SendClass.isBulk(
        asked: request.priority.isBulk, isAwaited: order.isAwaited, isOfBatch: isOfBatch)
      return try await accept(order, of: user)
    } catch let refusal as RPCError where refusal.isOfTheRequest {
      // Its time, the account, a recipient or the room for it may have gone since the first request with this key, whose
      // answer still stands.
      guard let idempotency, let answer = try await replay(idempotency, of: user) else { throw refusal }
      return answer
    }
  }

  // MARK: Accepting

  private func accept(_ order: Order, of user: UserKey) async throws -> Mailer.SendMessageResponse {
    guard try await unsent.admits(user.tenantID) else { throw RPCError.tooManyUnsent(limit: unsent.limit) }
    // An account that changed meanwhile is read anew, once.
    for _ in 0..<2 {
      let (account, token) = try await account(of: user)
      if let wanted = order.message.requestedFrom, wanted.key != account.address.key { throw RPCError.fromNotAllowed }
      let turn = try await turn(order, account, token)
      let asked = Courier.clock()
      let mail = try await build(order, account, user)
      switch try await keep(mail, order, token, turn, askedAt: asked) {
      case .answered(let response): return response
      case .queued:
        unsent.added(user.tenantID)
        shared.queued.add(account.googleSub)
        worker.offer()
        guard order.isAwaited else { return accepted(mail, order) }
        return try await outcome(of: mail, order)
      case .duplicate:
        guard let idempotency = order.idempotency, let answer = try await replay(idempotency, of: user) else {
          throw RPCError.keyInFlight
        }
        return answer
      case .busy: throw RPCError.unavailable()
      case .suppressed:
        let suppressed = try await store.suppressed(order.message.recipientKeys, tenantID: user.tenantID)
        throw RPCError.recipientSuppressed(order.message.places(of: suppressed))
      case .tenantDisabled: throw RPCError.tenantDisabled
      case .accountChanged: tokens.forget(user)
      }
    }
    throw RPCError.unavailable()
  }

  struct Mail {
    var acceptance: MailStore.Acceptance
    var payload: MailPayload
  }

  /// The account to send from, with a token where one can be had: without it the mail is queued until it can.
  private func account(of user: UserKey) async throws -> (MailAccount, AccessToken?) {
    do throws(AccountError) {
      let token = try await tokens.token(of: user, within: Self.tokenPatience)
      return (token.account, token)
    } catch {
      guard error == .unavailable else { throw RPCError(error) }
      guard let known = try await store.account(tenantID: user.tenantID, userID: user.userID) else {
        throw RPCError.notConnected
      }
      switch known.status {
      case "active": return (known.account, nil)
      case "reauth_required": throw RPCError.reauthRequired
      default: throw RPCError.notConnected
      }
    }
  }

  /// Mail goes at once in its mailbox's turn; without one, or when nobody waits for it, to the queue.
  private func turn(_ order: Order, _ account: MailAccount, _ token: AccessToken?) async throws -> MailboxTurn? {
    guard order.goesAtOnce, token != nil, maySend else { return nil }
    return try await shared.turns.take(account.googleSub, on: reactor)
  }

  private var maySend: Bool { !courier.isDraining && !shared.pause.isPaused(at: .current()) }

  private func build(_ order: Order, _ account: MailAccount, _ user: UserKey) async throws -> Mail {
    // The id's time is the row's partition key: milliseconds.
    let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
    let id = UniqueID(at: now, random: SecureRandom.words())
    let from = try account.address.named(order.message.fromName)
    let builder = MIMEBuilder(
      from: from, messageID: id, date: order.message.sendAt ?? now, randomness: SecureRandom.words())
    let message = order.message
    let bytes = try await LargeMail.work(bytes: message.contentSize, on: reactor) { builder.build(message) }
    guard bytes.count <= MessageLimits.mime else { throw RPCError.messageTooLarge }
    let acceptance = MailStore.Acceptance(
      key: MailKey(tenantID: user.tenantID, userID: user.userID, id: id), account: account, message: order.message,
      credentialID: order.credentialID, policy: order.policy, isAwaited: order.isAwaited,
      isBulk: order.isBulk,
      idempotency: order.idempotency)
    let payload = MailPayload(
      mail: bytes, threadID: order.message.threadID, recipients: order.message.recipientKeys)
    return Mail(acceptance: acceptance, payload: payload)
  }

  private enum Kept: Sendable {
    /// Sent at once, by this process.
    case answered(Mailer.SendMessageResponse)
    case queued, duplicate, busy, suppressed, tenantDisabled, accountChanged
  }

  /// Stores the mail and, where it goes at once, sends it. In a task that its sender's hanging up does not end: the
  /// transaction that accepts gives this process a lease with its intent, and who drops it half-way leaves behind a mail
  /// of unknown fate.
  private func keep(
    _ mail: Mail, _ order: Order, _ token: AccessToken?, _ turn: MailboxTurn?, askedAt: Duration
  ) async throws -> Kept {
    try await CallScope.outlivingCall(on: reactor) { [self] in
      let accepted = try await store(mail, order, atOnce: turn != nil)
      if case .sending(let epoch) = accepted {
        return .answered(try await carry(mail, order, token, turn, Courier.lease(epoch: epoch, askedAt: askedAt)))
      }
      turn?.end()
      return switch accepted {
      case .queued: .queued
      case .duplicate: .duplicate
      case .sending, .busy: .busy
      case .suppressed: .suppressed
      case .tenantDisabled: .tenantDisabled
      case .accountChanged: .accountChanged
      }
    }
  }

  /// Performs what `MailAcceptance` decides.
  private func store(_ mail: Mail, _ order: Order, atOnce: Bool) async throws -> MailStore.Accepted {
    var acceptance = MailAcceptance(
      atOnce: atOnce && maySend, policy: order.policy, isKeyed: order.idempotency != nil)
    var action = acceptance.begin()
    while true {
      switch action {
      case .store(let atOnce, let withPayload):
        var record = mail.acceptance
        record.worker = atOnce ? name : nil
        record.payload = withPayload ? try seal.seal(mail.payload, of: record.key) : nil
        do {
          action = acceptance.answered(try await store.accept(record))
        } catch {
          let mayHaveExecuted = (error as? PostgresError)?.mayHaveExecuted == true
          if case .fail(let end?) = acceptance.failed(mayHaveExecuted: mayHaveExecuted) { takeBack(mail, end) }
          throw error
        }
      case .send(let epoch): return .sending(epoch: epoch)
      case .queued: return .queued
      case .refuse(let answer): return answer
      case .fail: throw RPCError.unavailable()
      }
    }
  }

  private func takeBack(_ mail: Mail, _ end: TakeBack) {
    let (store, reactor, key) = (store, reactor, mail.acceptance.key)
    let (sub, idempotency) = (mail.acceptance.account.googleSub, mail.acceptance.idempotency)
    reactor.spawn {
      var end = end
      var action = end.begin()
      while true {
        do {
          switch action {
          case .record(let epoch):
            let leased = MailStore.Leased(key: key, googleSub: sub, epoch: epoch)
            action = end.answered(isDone: try await store.takeBack(leased, idempotency))
          case .cancel: action = end.answered(isDone: try await store.cancel(key) == "cancelled")
          case .wait(let delay):
            try await reactor.sleep(for: delay)
            action = end.waited()
          case .done: return
          }
        } catch is CancellationError {
          return
        } catch {
          action = end.failed(jitter: .random(in: 0..<1))
        }
      }
    }
  }

  // MARK: Seeing it through

  private func carry(
    _ mail: Mail, _ order: Order, _ token: AccessToken?, _ turn: MailboxTurn?, _ lease: Lease
  ) async throws -> Mailer.SendMessageResponse {
    let key = mail.acceptance.key
    var attempt = SendAttempt(
      lease: lease, attempts: 0, ambiguousTries: 0, policy: order.policy, failingSince: nil,
      awaitedUntil: Courier.clock() + (order.deadline - .current()), hasIntent: true)
    let first = attempt.acceptedForSending(now: Courier.clock())
    let delivery = Delivery(
      key: key, googleSub: mail.acceptance.account.googleSub, mail: mail.payload, token: token,
      isPayloadStored: mail.acceptance.payload != nil || order.policy == .retry)
    guard let end = try await seeThrough(delivery, attempt, first, turn, by: order.deadline) else {
      return try await patienceEnded(mail, order, .sending)
    }
    switch end {
    case .final(let outcome, let time): return response(mail, outcome, at: time)
    case .requeued:
      worker.hint()
      return try await outcome(of: mail, order)
    case .lost: return try await outcome(of: mail, order)
    }
  }

  /// In a task of its own: the mail is seen through even when its sender waits no longer. Nil: not finished in time.
  private func seeThrough(
    _ delivery: Delivery, _ attempt: SendAttempt, _ first: SendAttempt.Action, _ turn: MailboxTurn?,
    by deadline: Instant
  ) async throws -> DeliveryEnd? {
    var timer: Timer?
    defer { timer?.cancel() }
    return try await reactor.wait { (waiter: Waiter<DeliveryEnd?>) in
      timer = reactor.schedule(at: deadline) { waiter.resume(returning: nil) }
      reactor.spawn { [courier, shared, worker] in
        let end = await courier.carry(delivery, attempt, first)
        turn?.end()
        waiter.resume(returning: end)
        if shared.queued.take(delivery.googleSub) { worker.hint() }
      }
    }
  }

  /// Waits for the outcome of queued mail, which any loop or process may send.
  private func outcome(of mail: Mail, _ order: Order) async throws -> Mailer.SendMessageResponse {
    let id = mail.acceptance.key.id
    while true {
      let left = order.deadline - .current()
      // A process that stops says what is true by now: the mail is kept, and another one will send it.
      guard left > .zero, !courier.isDraining else { break }
      if let (outcome, time) = try await posted(id, within: min(left, Self.lookInterval)) {
        return response(mail, outcome, at: time)
      }
      if let row = try? await store.message(mail.acceptance.key), row.isFinal { return response(row.record) }
    }
    return try await patienceEnded(mail, order, .queued)
  }

  private func posted(_ id: UniqueID, within limit: Duration) async throws -> (SendOutcome, Timestamp)? {
    var registration: UInt64?
    let hearing = Hearing()
    defer { if let registration { shared.board.remove(id, registration) } }
    try await reactor.wait(atMost: limit) { waiter in
      hearing.waiter = waiter
      let listener = LoopReference(hearing, on: reactor)
      registration = shared.board.add(id) { outcome, time in listener.execute { $0.hear(outcome, time) } }
    }
    return hearing.heard
  }

  private func patienceEnded(
    _ mail: Mail, _ order: Order, _ status: MessageStatus
  ) async throws -> Mailer.SendMessageResponse {
    if let idempotency = order.idempotency {
      try? await store.noteAccepted(idempotency, of: mail.acceptance.key.user)
    }
    var response = accepted(mail, order)
    response.status = status
    return response
  }
}

extension Mailer.Priority {
  /// Nil: not said.
  fileprivate var isBulk: Bool? {
    switch self {
    case .interactive: false
    case .bulk: true
    default: nil
    }
  }
}

/// One who waits for an outcome.
private final class Hearing {
  var waiter: Waiter<Void>?
  private(set) var heard: (SendOutcome, Timestamp)?

  func hear(_ outcome: SendOutcome, _ time: Timestamp) {
    heard = (outcome, time)
    waiter?.resume(returning: ())
  }
}

extension RPCError {
  /// It was not taken, for what it asks or for whom it asks it, and would be refused again.
  fileprivate var isOfTheRequest: Bool {
    [.invalidArgument, .failedPrecondition, .permissionDenied, .resourceExhausted].contains(code)
  }
}
