import CivilTime
import EventLoop

@testable import MailerService

/// One replica: its loop, its memory, what it has in hand. It performs what the service's machines decide.
final class SimulatedMailer {
  let number: Int
  let simulation: Simulation
  private(set) var incarnation = 0
  private(set) var isAlive = true
  var isDraining = false
  var pausedUntil: Int64 = 0
  /// The database is out of this replica's reach until then.
  var cutUntil: Int64 = 0
  /// Of its civil clock, beside the true one.
  var skew: Int64 = 0
  /// Mails whose fate hangs on this process, and for how many reasons.
  private(set) var inHand: [Int: Int] = [:]
  private let clockOrigin: Int64
  private let civil: Timestamp
  private var headStart = HeadStart()
  private var isLooking = false
  private var isHinted = false

  init(_ number: Int, in simulation: Simulation, clock: Int64, civil: Timestamp) {
    self.number = number
    self.simulation = simulation
    clockOrigin = clock
    self.civil = civil
  }

  /// The lease's clock.
  var clock: Duration { .nanoseconds(clockOrigin + simulation.now) }
  var time: Timestamp { Timestamp(microseconds: civil.microseconds + (simulation.now + skew) / 1000) }

  /// A time that this replica names, on the database's scale.
  func nanoseconds(_ time: Timestamp) -> Int64 { (time.microseconds - civil.microseconds) * 1000 }

  // MARK: Life

  func start() {
    isAlive = true
    isDraining = false
    look(after: simulation.random.seconds(0, 1))
  }

  /// All that it had in memory is gone.
  func crash() {
    incarnation += 1
    isAlive = false
    (isLooking, isHinted) = (false, false)
    headStart = HeadStart()
    pausedUntil = 0
    for id in inHand.keys { simulation.excuse(id) }
    inHand = [:]
  }

  func hold(_ id: Int) { inHand[id, default: 0] += 1 }

  func letGo(_ id: Int) {
    inHand[id, default: 0] -= 1
    if inHand[id]! <= 0 { inHand[id] = nil }
  }

  // MARK: The queue (QueueWorker)

  private func look(after delay: Int64) {
    simulation.after(delay, self) { [self] in
      guard !isLooking, !isDraining else { return }
      (isLooking, isHinted) = (true, false)
      let asked = clock
      let whenOver = headStart.whenOver
      step(of: nil) { [simulation] in
        let (now, time) = (simulation.databaseNow, simulation.databaseTime)
        let lapsed = whenOver?.contains(time) == true || simulation.flaw == .noHeadStart
        let lost = lapsed ? $0.claimLost(limit: QueueWorker.batch, now: now) : []
        return (at: time, mails: lost + $0.claim(limit: QueueWorker.batch, lapsed: lapsed, now: now))
      } then: { [self] seen, _ in
        isLooking = false
        headStart.looked(at: seen?.at)
        for mail in seen?.mails ?? [] { take(mail, askedAt: asked) }
        if seen?.mails.isEmpty == false || isHinted {
          hint()
        } else {
          look(after: Int64(Double(QueueWorker.idleInterval.wholeNanoseconds) * (0.9 + 0.2 * simulation.random.unit())))
        }
      }
    }
  }

  func hint() {
    if isLooking { isHinted = true } else { look(after: QueueWorker.hintInterval.wholeNanoseconds) }
  }

  private func take(_ claimed: SimulatedDatabase.Claimed, askedAt: Duration) {
    let job = claimed.job
    let mail = simulation.mails[claimed.id]
    let policy = simulation.flaw == .retryAfterUnknown ? .retry : job.policy
    var attempt = SendAttempt(
      lease: Courier.lease(epoch: job.epoch, askedAt: askedAt), attempts: job.attempts,
      ambiguousTries: job.ambiguousTries, policy: policy, failingSince: nil, awaitedUntil: nil, hasIntent: job.intent)
    let first = attempt.claimed()
    carry(mail, attempt, first) { [self] _ in if !isDraining { hint() } }
  }

  func carry(
    _ mail: SimulatedMail, _ attempt: SendAttempt, _ first: SendAttempt.Action,
    then: @escaping (SimulatedDatabase.Status?) -> Void
  ) {
    hold(mail.id)
    SimulatedCourier(self, mail, attempt) { [self] status in
      letGo(mail.id)
      then(status)
    }.perform(first)
  }

  // MARK: The database

  /// One transaction, over the network, which may lose the question or the answer, or keep them.
  /// - Parameter then: with nil where no answer came, and whether the transaction may have been committed.
  func step<Answer>(
    of mail: Int?, _ transaction: @escaping (inout SimulatedDatabase) -> Answer,
    then: @escaping (Answer?, _ mayHaveExecuted: Bool) -> Void
  ) {
    let simulation = simulation
    let asker = incarnation
    let fate = simulation.odds.drawDatabase(simulation)
    if fate != .answered || cutUntil > simulation.now { simulation.excuse(mail) }
    guard cutUntil <= simulation.now else {
      simulation.after(simulation.trip(), self) { then(nil, false) }
      return
    }
    if fate == .neverArrives {
      simulation.after(simulation.trip(), self) { then(nil, true) }
      return
    }
    var isAnswered = false
    var delay = simulation.trip()
    if fate == .late {
      delay = simulation.random.seconds(0.5, 20)
      simulation.disturb("slow transaction", until: simulation.now + delay)
      simulation.after(5_000_000_000, self) {
        if !isAnswered { then(nil, true) }
        isAnswered = true
      }
    }
    // The network's and the server's: they go on when the replica is dead.
    simulation.after(delay, nil) { [self] in
      guard simulation.databaseDownUntil <= simulation.now else {
        // One who knows what Gmail did tells it as soon as there is somebody to tell.
        if !simulation.isAnswered(mail) { simulation.excuse(mail) }
        simulation.after(simulation.trip(), self, incarnation: asker) {
          if !isAnswered { then(nil, simulation.random.chance(0.5)) }
          isAnswered = true
        }
        return
      }
      let old = mail.flatMap { simulation.database.log[$0] }
      let answer = transaction(&simulation.database)
      if let mail { simulation.changed(mail, from: old) }
      if simulation.odds.drawAmbush(simulation) {
        simulation.excuse(mail)
        simulation.ambush(self)
      }
      // A lost answer is noticed by a reset, or by nothing but the clock.
      let silence = fate == .answerLost && simulation.random.chance(0.5) ? 5_000_000_000 : simulation.trip()
      simulation.after(silence, self, incarnation: asker) {
        if !isAnswered { then(fate == .answerLost ? nil : answer, true) }
        isAnswered = true
      }
    }
  }
}
