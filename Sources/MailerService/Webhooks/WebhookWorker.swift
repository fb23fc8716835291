import EventLoop
import Logging
import class CoreMetrics.Counter
import class CoreMetrics.Gauge

/// Tells platforms what has happened: claims due webhooks, sends them, records what became of them. On one loop of each
/// mailer; any number may run. In the mailer because it has the HTTP client and the keys, and makes most of the events.
final class WebhookWorker {
  /// How often due webhooks are looked for, where neither a full batch nor one that has ended says that more may wait.
  static let interval: Duration = .seconds(1)
  /// Between two looks at least: what ends within this time makes one.
  static let shortInterval: Duration = .milliseconds(10)
  /// Under way at once in this process, for one tenant, and to one endpoint: slow ones leave room for the rest.
  static let inFlight = 64
  static let inFlightPerTenant = 16
  static let inFlightPerEndpoint = 8
  /// A claim counts as dead after this; longer than any attempt.
  static let lease: Duration = .seconds(60)

  private let reactor: Reactor
  private let store: WebhookStore
  private let sender: WebhookSender
  private let logger: Logger
  private let interval: Duration
  private let outcomes: [String: Counter]
  private let waiting = Gauge(label: "emailmcp_webhooks_pending")
  private var tasks: [Task<Void, any Error>] = []
  private var sending: [Int64: Task<Void, any Error>] = [:]
  /// By endpoint.
  private var busy: [String: WebhookStore.Busy] = [:]
  /// Something has ended since the last look began.
  private var isHinted = false
  private var sleeper: Waiter<Void>?

  init(
    reactor: Reactor, store: WebhookStore, sender: WebhookSender, logger: Logger,
    interval: Duration = WebhookWorker.interval
  ) {
    self.interval = interval
    self.reactor = reactor
    self.store = store
    self.sender = sender
    self.logger = logger
    outcomes = Dictionary(
      uniqueKeysWithValues: ["delivered", "retried", "dead"].map {
        ($0, Counter(label: "emailmcp_webhook_attempts_total", dimensions: [("outcome", $0)]))
      })
  }

  func start() {
    tasks.append(
      reactor.spawn { [self] in
        while true {
          let mayBeMore = await claim()
          try await rest(mayBeMore ? Self.shortInterval : interval * Double.random(in: 0.9..<1.1))
        }
      })
    tasks.append(
      reactor.spawn { [self] in
        while true {
          do {
            waiting.record(try await store.pending())
            try await store.purge()
          } catch {
            logger.debug("webhooks could not be counted or purged", metadata: ["error": "\(error)"])
          }
          try await reactor.sleep(for: .seconds(30))
        }
      })
  }

  /// What is under way is given up: its claim lapses, and another attempt carries it. An endpoint sees an event again
  /// by its id.
  func stop() async {
    for task in tasks + Array(sending.values) { task.cancel() }
    for task in tasks + Array(sending.values) { _ = await task.result }
  }

  // MARK: Looking

  /// There is room again, and the subject's next event may go: both are worth a look, and each look is paid for by
  /// something that ended, so that none follows one that found nothing.
  private func hint() {
    guard !isHinted else { return }
    isHinted = true
    reactor.schedule(after: Self.shortInterval) { [weak self] in self?.sleeper?.resume(returning: ()) }
  }

  private func rest(_ limit: Duration) async throws {
    // A hint that came while this was looking.
    if isHinted { return try await reactor.sleep(for: Self.shortInterval) }
    defer { sleeper = nil }
    try await reactor.wait(atMost: limit) { sleeper = $0 }
  }

  /// Whether there may be more at once.
  private func claim() async -> Bool {
    isHinted = false
    let room = Self.inFlight - sending.count
    guard room > 0 else { return false }
    do {
      let claims = try await store.claim(
        perEndpoint: Self.inFlightPerEndpoint, perTenant: Self.inFlightPerTenant, limit: room, lease: Self.lease,
        busy: Array(busy.values))
      for claim in claims { begin(claim) }
      return claims.count >= Self.inFlightPerEndpoint && sending.count < Self.inFlight
    } catch {
      logger.debug("webhooks could not be claimed", metadata: ["error": "\(error)"])
      return false
    }
  }

  // MARK: Sending

  private func begin(_ claim: WebhookStore.Claim) {
    let idle = WebhookStore.Busy(tenantID: claim.tenantID, endpointID: claim.endpointID, count: 0)
    busy[claim.endpointID, default: idle].count += 1
    sending[claim.sequence] = reactor.spawn { [self] in
      defer {
        sending[claim.sequence] = nil
        busy[claim.endpointID]?.count -= 1
        if busy[claim.endpointID]?.count == 0 { busy[claim.endpointID] = nil }
        hint()
      }
      try await carry(claim)
    }
  }

  private func carry(_ claim: WebhookStore.Claim) async throws {
    let answer: WebhookAnswer
    let start = Instant.current()
    do {
      answer = try await sender.send(claim)
    } catch is CancellationError {
      return
    } catch {
      answer = .failure("the secret does not open")
    }
    let isSlow = .current() - start > WebhookAttempt.slowAfter
    let verdict = WebhookAttempt(number: claim.tries).verdict(on: answer, jitter: .random(in: 0..<1))
    var status: Int?
    var words: String?
    switch answer {
    case .status(let code, _):
      status = code
      if verdict != .delivered { words = "HTTP \(code)" }
    case .failure(let text), .refused(let text): words = text
    }
    note(claim, verdict, words)
    do {
      try await store.finish(claim, verdict, status: status, error: words, isSlow: isSlow)
    } catch {
      // The claim lapses and the event goes again, under the same id.
      logger.debug("a webhook's outcome could not be recorded", metadata: ["error": "\(error)"])
    }
  }

  private func note(_ claim: WebhookStore.Claim, _ verdict: WebhookAttempt.Verdict, _ words: String?) {
    let metadata: Logger.Metadata = [
      "tenant": "\(claim.tenantID)", "endpoint": "\(claim.endpointID)", "webhook": "\(claim.id)",
      "type": "\(claim.type)", "attempt": "\(claim.attempt)", "reason": "\(words ?? "")",
    ]
    switch verdict {
    case .delivered: outcomes["delivered"]?.increment()
    case .retry:
      outcomes["retried"]?.increment()
      logger.info("a webhook will be tried again", metadata: metadata)
    case .dead:
      outcomes["dead"]?.increment()
      logger.warning("a webhook was given up; emailmcp webhook replay", metadata: metadata)
    }
  }
}
