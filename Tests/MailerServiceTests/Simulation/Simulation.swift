import CivilTime
import EventLoop
import TestSupport

@testable import MailerService

/// A whole system from a seed: platforms, replicas of the mailer, a database, Gmail, the network between them and all that
/// goes wrong, on a virtual clock. The replicas decide by the service's own machines (`MailAcceptance`, `TakeBack`,
/// `SendAttempt`, `Lease`, `GmailVerdict`, `TransportObservation`); only what these act upon is modelled.
///
/// Every step of the world is judged as it happens; afterwards, whether every mail came to its end in time.
final class Simulation {
  /// When the last fault begins at the latest, and how soon after all of them every mail is final: a lease, a look at the
  /// queue, the requests of a mailbox one after another. A mail that is told to wait has this long from then on.
  static let faultsEnd: Int64 = 40_000_000_000
  static let bound: Int64 = 20_000_000_000

  struct Report: Equatable {
    var seed: UInt64
    var violation: String?
    /// Of all that happened, in order.
    var trace: UInt64
    var events = 0
    var faults: [String: Int] = [:]
    var statuses: [SimulatedDatabase.Status: Int] = [:]
    /// From the last fault's end to the last mail's.
    var longest: Int64 = 0
  }

  let flaw: Flaw?
  var random: SeededRandom
  let odds: FaultOdds
  private(set) var now: Int64 = 0
  private var queue = EventQueue()
  var database: SimulatedDatabase
  private(set) var mailers: [SimulatedMailer] = []
  private(set) var mails: [SimulatedMail] = []
  private(set) var report: Report
  private let log: ((String) -> Void)?

  // What the judge knows.
  private(set) var ledger: [Int: Int] = [:]
  private var acknowledged: Set<Int> = []
  /// Ended because nobody was told of their acceptance.
  private var takenBack: Set<Int> = []
  /// Mails that something happened to after which "unknown" is the honest answer.
  private var excused: Set<Int> = []
  /// Mails that Gmail has told a replica of that it took them.
  private var answered: Set<Int> = []
  private var sentByKey: [Int: Int] = [:]
  /// When the last fault stopped having an effect.
  private var calmSince: Int64 = 0

  // What is broken at the moment.
  var databaseClock: Int64 = 0
  var hasClockJumped = false
  var databaseDownUntil: Int64 = 0

  init(seed: UInt64, flaw: Flaw? = nil, log: ((String) -> Void)? = nil) {
    self.flaw = flaw
    self.log = log
    random = SeededRandom(spread: seed)
    odds = FaultOdds(&random)
    database = SimulatedDatabase(mailboxes: 2 + random.below(3), flaw: flaw)
    report = Report(seed: seed, trace: 0xCBF2_9CE4_8422_2325)
    let civil = Timestamp(seconds: 1_795_343_940)
    for number in 0..<(2 + random.below(2)) {
      mailers.append(SimulatedMailer(number, in: self, clock: random.seconds(0, 1e6), civil: civil))
    }
  }

  static func run(seed: UInt64, flaw: Flaw? = nil, log: ((String) -> Void)? = nil) -> Report {
    let simulation = Simulation(seed: seed, flaw: flaw, log: log)
    simulation.run()
    return simulation.report
  }

  private func run() {
    for mailer in mailers { mailer.start() }
    SimulatedPlatform(self).start()
    scheduleFaults()
    while report.violation == nil, let event = queue.next() {
      if let owner = event.owner {
        guard owner.incarnation == event.incarnation else { continue }
        if owner.pausedUntil > event.time {
          queue.postpone(event, to: owner.pausedUntil)
          continue
        }
      }
      now = event.time
      report.events += 1
      event.action()
      if now > Self.faultsEnd, now > calmSince, isOver() { break }
    }
    // The mailers' memory points back here.
    queue = EventQueue()
    for mailer in mailers { mailer.crash() }
    for status in database.log.values { report.statuses[status, default: 0] += 1 }
  }

  // MARK: Time

  /// - Parameter incarnation: the process that waits for it, if that is not the present one.
  func after(
    _ delay: Int64, _ owner: SimulatedMailer?, incarnation: Int? = nil, _ action: @escaping () -> Void
  ) {
    queue.add(at: now + delay, owner: owner, incarnation: incarnation ?? owner?.incarnation ?? 0, action)
  }

  /// Of the database server's clock.
  var databaseNow: Int64 { now + databaseClock }
  var databaseTime: Timestamp { Timestamp(microseconds: databaseNow / 1000) }

  /// A trip over the network, either way.
  func trip() -> Int64 { random.seconds(0.0001, 0.004) }

  // MARK: Judging

  func note(_ what: @autoclosure () -> String, _ code: UInt64, _ numbers: Int64...) {
    var hash = report.trace
    for word in [UInt64(bitPattern: now), code] { hash = (hash ^ word) &* 0x100_0000_01B3 }
    for number in numbers { hash = (hash ^ UInt64(bitPattern: number)) &* 0x100_0000_01B3 }
    report.trace = hash
    if let log { log("\(Double(now) / 1e9) \(what())") }
  }

  func violated(_ what: String) {
    if report.violation == nil {
      note("VIOLATION \(what)", 1)
      report.violation = "\(what) (at \(Double(now) / 1e9) s)"
    }
  }

  /// A platform asks for a mail.
  func asked(_ mail: (Int) -> SimulatedMail) -> SimulatedMail {
    let made = mail(mails.count)
    mails.append(made)
    return made
  }

  /// The platform holds an answer that says that the mail was taken.
  func acknowledged(_ id: Int) {
    acknowledged.insert(id)
    if database.log[id] == nil { violated("mail \(id) was acknowledged and is not stored") }
    if takenBack.contains(id) { violated("mail \(id) is acknowledged and was taken back") }
  }

  func tookBack(_ id: Int) {
    takenBack.insert(id)
    if acknowledged.contains(id) { violated("mail \(id) was acknowledged and is taken back") }
  }

  func told(_ id: Int, _ status: SimulatedDatabase.Status) {
    acknowledged(id)
    if database.log[id] != status { violated("mail \(id) was told as \(status) and is \(database.log[id]!)") }
  }

  /// A replica is told that Gmail took a mail: as long as it lives and reaches the database before others do, that is what
  /// is recorded. A request of unknown fate that went before excuses the mail by itself.
  func answered(_ id: Int) { answered.insert(id) }

  func isAnswered(_ id: Int?) -> Bool { id.map(answered.contains) ?? false }

  /// A fault that may make the fate of this mail unknown.
  func excuse(_ id: Int?) { if let id { excused.insert(id) } }

  /// A fault has an effect until then.
  func disturb(_ name: String, until time: Int64) {
    report.faults[name, default: 0] += 1
    calmSince = max(calmSince, time)
    note("fault: \(name)", 2, time)
  }

  /// Gmail takes a mail.
  func delivered(_ id: Int) {
    ledger[id, default: 0] += 1
    note("Gmail takes mail \(id)", 3, Int64(id))
    let mail = mails[id]
    if ledger[id]! > 1, mail.policy == .hold || !excused.contains(id) { violated("mail \(id) is sent twice") }
    switch database.log[id] {
    case .failed?, .cancelled?: violated("mail \(id) is sent after it was called \(database.log[id]!)")
    case nil: violated("mail \(id) is sent and was never accepted")
    default: break
    }
    guard let key = mail.key, ledger[id] == 1 else { return }
    sentByKey[key, default: 0] += 1
    if sentByKey[key]! > 1 { violated("two copies of request \(key) are sent") }
  }

  /// A request begins.
  func began(_ id: Int, epoch: Int64) {
    note("mail \(id) leaves, epoch \(epoch)", 4, Int64(id), epoch)
    if !hasClockJumped, !database.maySend(id, epoch, now: databaseNow) {
      violated("a request for mail \(id) begins without a live lease and an intent")
    }
  }

  /// The database took a step of this mail: what it says now must be true, and what was final stays.
  func changed(_ id: Int, from old: SimulatedDatabase.Status?) {
    guard let status = database.log[id], status != old else { return }
    note("mail \(id) is \(status)", 5, Int64(id), Int64(status.rawValue))
    if let old, old.isFinal {
      violated("mail \(id) was \(old) and becomes \(status)")
    }
    let sent = ledger[id] ?? 0
    switch status {
    case .sending where database.suppressed.contains(id) && database.jobs[id]?.ambiguousTries == 0:
      violated("mail \(id) is about to be sent to one who has unsubscribed")
    case .success where sent == 0: violated("mail \(id) is called sent and was not")
    case .failed where sent > 0, .cancelled where sent > 0: violated("mail \(id) is called \(status) and was sent")
    case .unknown where !excused.contains(id): violated("mail \(id) is called unknown without a reason")
    default: break
    }
  }

  /// All requests have been made and all faults are over: whether every mail is at its end, and whether in time.
  private func isOver() -> Bool {
    var late: Int?
    var isDone = true
    for (id, job) in database.jobs {
      isDone = false
      // What was told to wait, waits, by the database's clock.
      let due = max(job.runAt, database.mailboxes[job.mailbox].nextFree) - databaseClock
      if now > max(calmSince, Self.faultsEnd, due) + Self.bound { late = min(late ?? id, id) }
    }
    if let late { violated("mail \(late) is not final") }
    guard isDone else { return false }
    report.longest = now - max(calmSince, Self.faultsEnd)
    for id in acknowledged.sorted() where database.log[id] == nil { violated("mail \(id) is lost") }
    for (key, id) in database.keys.sorted(by: { $0.key < $1.key }) where takenBack.contains(id) {
      violated("key \(key) names mail \(id), which was taken back")
    }
    return true
  }
}
