import EventLoop
import TestSupport

@testable import MailerService

/// How often what goes wrong in one run: drawn once a seed, so that some runs are calm but for one kind of fault and some
/// have all of them.
struct FaultOdds {
  enum DatabaseFate { case answered, neverArrives, answerLost, late }

  enum GmailFate {
    case taken, slow, waits, noConnection, refusedStream, cutOnTheWay, answerLost, arrivesLate, answersNothing
    case brokenAfterTaking, broken
    case refused(Int, reason: String?, retryAfter: String?)
  }

  private let database: Double
  private let gmail: Double
  private let token: Double
  private let ambush: Double
  let crashes: Int
  let pauses: Int
  let cuts: Int
  let outages: Int
  let drains: Int
  let jumps: Int

  init(_ random: inout SeededRandom) {
    func some(_ most: Double) -> Double { random.chance(0.4) ? 0 : most * random.unit() }
    func few(_ most: Int) -> Int { random.chance(0.4) ? 0 : random.below(most + 1) }
    database = some(0.2)
    gmail = some(0.8)
    token = some(0.3)
    ambush = some(0.08)
    crashes = few(6)
    pauses = few(4)
    cuts = few(3)
    outages = few(2)
    drains = few(2)
    jumps = random.chance(0.8) ? 0 : random.below(3)
  }

  func drawDatabase(_ simulation: Simulation) -> DatabaseFate {
    guard isFaulty(simulation, database) else { return .answered }
    switch simulation.random.below(5) {
    case 0, 1:
      simulation.disturb("lost question", until: simulation.now)
      return .neverArrives
    case 2, 3:
      simulation.disturb("lost answer of the database", until: simulation.now)
      return .answerLost
    default: return .late
    }
  }

  /// Whether the replica is struck just when its step has taken effect, before it hears of it.
  func drawAmbush(_ simulation: Simulation) -> Bool { isFaulty(simulation, ambush) }

  func drawToken(_ simulation: Simulation) -> SendAttempt.TokenFailure? {
    guard isFaulty(simulation, token) else { return nil }
    simulation.disturb("no token", until: simulation.now)
    return simulation.random.chance(0.9) ? .unavailable : .reauthRequired
  }

  /// How long a token takes beyond a trip: the oauth service may have to ask Google.
  func drawTokenDelay(_ simulation: Simulation) -> Int64 {
    guard isFaulty(simulation, token) else { return 0 }
    let delay = min(simulation.random.seconds(1, 25), TokenSource.timeout.wholeNanoseconds)
    simulation.disturb("slow token", until: simulation.now + delay)
    return delay
  }

  func drawGmail(_ simulation: Simulation) -> GmailFate {
    guard isFaulty(simulation, gmail) else { return .taken }
    let fates: [(String, GmailFate)] = [
      ("slow", .slow), ("late connection", .waits), ("no connection", .noConnection),
      ("refused stream", .refusedStream),
      ("cut on the way", .cutOnTheWay), ("lost answer of Gmail", .answerLost), ("lost answer of Gmail", .answerLost),
      ("timeout", .arrivesLate), ("empty answer", .answersNothing), ("5xx after taking", .brokenAfterTaking),
      ("5xx", .broken), ("429", .refused(429, reason: "rateLimitExceeded", retryAfter: "3")),
      ("403 rate", .refused(403, reason: "userRateLimitExceeded", retryAfter: nil)),
      ("403 project", .refused(403, reason: "rateLimitExceeded", retryAfter: nil)),
      ("403 of a proxy", .refused(403, reason: nil, retryAfter: nil)),
      ("401", .refused(401, reason: nil, retryAfter: nil)), ("400", .refused(400, reason: nil, retryAfter: nil)),
    ]
    let (name, fate) = fates[simulation.random.below(fates.count)]
    simulation.disturb(name, until: simulation.now)
    return fate
  }

  private func isFaulty(_ simulation: Simulation, _ probability: Double) -> Bool {
    probability > 0 && simulation.now < Simulation.faultsEnd && simulation.random.chance(probability)
  }
}

extension Simulation {
  func scheduleFaults() {
    func some(_ count: Int, _ fault: @escaping (SimulatedMailer) -> Void) {
      for _ in 0..<count {
        let mailer = mailers[random.below(mailers.count)]
        after(random.seconds(0, 35), nil) { if mailer.isAlive { fault(mailer) } }
      }
    }
    some(odds.crashes) { [self] mailer in restart(mailer, after: random.seconds(0.05, 6), "crash") }
    some(odds.pauses) { [self] mailer in pause(mailer) }
    some(odds.cuts) { [self] mailer in
      let length = random.seconds(0.1, 18)
      mailer.cutUntil = now + length
      disturb("cut off the database", until: now + length)
    }
    some(odds.outages) { [self] _ in
      // Longer than a lease at times.
      let length = random.seconds(0.1, 30)
      databaseDownUntil = now + length
      disturb("database restarts", until: now + length)
    }
    some(odds.drains) { [self] mailer in
      mailer.isDraining = true
      disturb("drain", until: now + 3_000_000_000)
      let incarnation = mailer.incarnation
      after(3_000_000_000, nil) { [self] in
        if mailer.incarnation == incarnation { restart(mailer, after: random.seconds(0.05, 1), "end of the drain") }
      }
    }
    some(odds.jumps) { [self] mailer in
      let jump = random.seconds(-10, 25)
      // A clock that goes back makes leases that much longer.
      disturb("clock jumps", until: now + max(0, -jump))
      if random.chance(0.5) {
        databaseClock += jump
        hasClockJumped = true
        for id in mails.indices where database.jobs[id] != nil { excuse(id) }
      } else {
        mailer.skew += jump
      }
    }
  }

  /// Strikes a replica in the middle of something.
  func ambush(_ mailer: SimulatedMailer) {
    guard mailer.isAlive else { return }
    if random.chance(0.5) { pause(mailer) } else { restart(mailer, after: random.seconds(0.05, 6), "crash") }
  }

  private func pause(_ mailer: SimulatedMailer) {
    let length = random.seconds(0.5, 30)
    mailer.pausedUntil = max(mailer.pausedUntil, now + length)
    for id in mailer.inHand.keys { excuse(id) }
    disturb("pause", until: now + length)
  }

  private func restart(_ mailer: SimulatedMailer, after delay: Int64, _ name: String) {
    mailer.crash()
    disturb(name, until: now + delay)
    after(delay, nil) { if !mailer.isAlive { mailer.start() } }
  }
}
