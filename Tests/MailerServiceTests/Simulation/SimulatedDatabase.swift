import EventLoop

@testable import MailerService

/// What the functions of the schema do to one mail, as a value: every step is one transaction. Times are the database
/// server's own clock, which may jump.
struct SimulatedDatabase {
  enum Status: Int {
    case scheduled, queued, sending, success, failed, unknown, cancelled

    var isFinal: Bool { rawValue >= Self.success.rawValue }
  }

  struct Job {
    var mailbox: Int
    var runAt: Int64
    var attempts = 0
    var ambiguousTries = 0
    var policy: SendAttempt.AmbiguityPolicy
    var isBulk: Bool
    var recipients: Int
    /// Waits for the user's account, or is the one that looks whether it is back.
    var isParked = false
    var epoch: Int64
    var leaseUntil: Int64?
    var intent = false
  }

  struct Mailbox {
    var inFlight: Int?
    var inFlightUntil: Int64 = 0
    var nextFree: Int64 = 0
    /// Recipients of its day.
    var used = 0
  }

  static let lease = Lease.duration.wholeNanoseconds
  /// When a day has room again, which no simulation reaches.
  static let nextDay: Int64 = .max / 2

  let flaw: Flaw?
  let dayLimit: Int
  var jobs: [Int: Job] = [:]
  var log: [Int: Status] = [:]
  var keys: [Int: Int] = [:]
  /// Mails whose recipient is on the suppression list; each has one of its own.
  var suppressed: Set<Int> = []
  var mailboxes: [Mailbox]
  /// How often a claim found a mail, and a mailbox, that its day had no room for.
  private(set) var putOffs = (mails: 0, mailboxes: 0)

  init(mailboxes count: Int, flaw: Flaw?, dayLimit: Int = .max) {
    self.dayLimit = dayLimit
    mailboxes = Array(repeating: Mailbox(), count: count)
    self.flaw = flaw
  }

  // MARK: emailmcp.accept_messages

  mutating func accept(_ mail: SimulatedMail, atOnce: Bool, withPayload: Bool, now: Int64) -> MailStore.Accepted {
    if suppressed.contains(mail.id) { return .suppressed }
    let box = mailboxes[mail.mailbox]
    // Bulk mail is no hindrance, unless its worker died with it.
    let isWaiting = jobs.values.contains {
      $0.mailbox == mail.mailbox && isDue($0, now) && (!$0.isBulk || $0.leaseUntil != nil)
    }
    let isMine =
      atOnce && mail.sendAt == nil && box.nextFree <= now && box.inFlightUntil <= now && !isWaiting
      && mail.recipients <= room(mail.mailbox)
    guard isMine || withPayload else { return .busy }
    if let key = mail.key, flaw != .keyIsForgotten {
      guard keys[key] == nil else {
        // The mailbox was taken for it, and is given back.
        if isMine { hold(mail.mailbox, mail.id, mail.recipients, now) }
        release(mail.mailbox, mail.id, refund: mail.recipients)
        return .duplicate
      }
      keys[key] = mail.id
    }
    log[mail.id] = isMine ? .sending : mail.sendAt == nil ? .queued : .scheduled
    jobs[mail.id] = Job(
      mailbox: mail.mailbox, runAt: mail.sendAt ?? now, policy: mail.policy, isBulk: mail.isBulk,
      recipients: mail.recipients, epoch: isMine ? 1 : 0, leaseUntil: isMine ? now + Self.lease : nil,
      intent: isMine && flaw != .noIntent)
    if isMine { hold(mail.mailbox, mail.id, mail.recipients, now) }
    return isMine ? .sending(epoch: 1) : .queued
  }

  // MARK: emailmcp.claim_jobs

  struct Claimed {
    var id: Int
    var job: Job
  }

  mutating func claim(limit: Int, lapsed: Bool, now: Int64) -> [Claimed] {
    var claimed: [Claimed] = []
    for mailbox in mailboxes.indices where claimed.count < limit {
      guard mailboxes[mailbox].nextFree <= now, mailboxes[mailbox].inFlightUntil <= now else { continue }
      let due = jobs.filter { _, job in
        job.mailbox == mailbox && isDue(job, now)
          && (job.leaseUntil == nil || lapsed && flaw != .lapsedLeasesAreLeft)
      }
      // A total order: a dictionary has none of its own.
      guard
        let (id, first) = due.min(by: { a, b in
          (rank(a.value), a.value.runAt, a.key) < (rank(b.value), b.value.runAt, b.key)
        })
      else { continue }
      let room = room(mailbox)
      guard first.leaseUntil != nil || first.recipients <= room else {
        putOff(mailbox, room, now)
        continue
      }
      // Those of a lapsed lease are counted already.
      hold(mailbox, id, first.leaseUntil == nil ? first.recipients : 0, now)
      claimed.append(lease(id, first, now))
    }
    return claimed
  }

  /// What goes first of a mailbox: lapsed leases, then interactive mail, then bulk.
  private func rank(_ job: Job) -> Int { job.leaseUntil != nil ? 0 : job.isBulk ? 2 : 1 }

  private func room(_ mailbox: Int) -> Int { dayLimit - mailboxes[mailbox].used }

  /// `emailmcp.put_off`: what is too large for today waits by itself, and all of the mailbox when nothing is left of it.
  private mutating func putOff(_ mailbox: Int, _ room: Int, _ now: Int64) {
    guard room > 0 else {
      mailboxes[mailbox].nextFree = Self.nextDay
      putOffs.mailboxes += 1
      return
    }
    putOffs.mails += 1
    for (id, job) in jobs
    where job.mailbox == mailbox && job.leaseUntil == nil && job.runAt <= now && job.recipients > room {
      jobs[id]?.runAt = Self.nextDay
    }
  }

  /// `emailmcp.claim_lost`.
  mutating func claimLost(limit: Int, now: Int64) -> [Claimed] {
    guard flaw != .lapsedLeasesAreLeft else { return [] }
    return jobs.filter { isLost($0.value, now) }.sorted { $0.key < $1.key }.prefix(limit).map {
      lease($0.key, $0.value, now)
    }
  }

  private mutating func lease(_ id: Int, _ lapsed: Job, _ now: Int64) -> Claimed {
    var job = lapsed
    if flaw != .leaseWithoutEpoch { job.epoch += 1 }
    job.leaseUntil = now + Self.lease
    if job.intent {
      job.attempts += 1
      job.ambiguousTries += 1
    }
    jobs[id] = job
    return Claimed(id: id, job: job)
  }

  /// Free, and due for a request.
  private func isDue(_ job: Job, _ now: Int64) -> Bool {
    job.runAt <= now && (job.leaseUntil ?? 0) <= now && !isLost(job, now)
  }

  /// Its worker died with it, and all that is left is to say that its fate is unknown.
  private func isLost(_ job: Job, _ now: Int64) -> Bool {
    guard let until = job.leaseUntil else { return false }
    return until <= now && job.intent && job.policy == .hold
  }

  private mutating func hold(_ mailbox: Int, _ id: Int, _ recipients: Int, _ now: Int64) {
    mailboxes[mailbox].used += recipients
    mailboxes[mailbox].inFlight = id
    mailboxes[mailbox].inFlightUntil = now + Self.lease
  }

  private mutating func release(_ mailbox: Int, _ id: Int, freeAt: Int64 = 0, refund: Int = 0) {
    guard mailboxes[mailbox].inFlight == id else { return }
    mailboxes[mailbox].used = max(0, mailboxes[mailbox].used - refund)
    mailboxes[mailbox].inFlight = nil
    mailboxes[mailbox].inFlightUntil = 0
    mailboxes[mailbox].nextFree = max(mailboxes[mailbox].nextFree, freeAt)
  }

  // MARK: Leased mail

  private func mine(_ id: Int, _ epoch: Int64) -> Job? {
    guard let job = jobs[id], job.epoch == epoch || flaw == .noFence else { return nil }
    return job
  }

  private func live(_ id: Int, _ epoch: Int64, _ now: Int64) -> Job? {
    guard let job = mine(id, epoch), let until = job.leaseUntil, until > now || flaw == .noFence else { return nil }
    return job
  }

  /// Whether a request under this epoch may begin now.
  func maySend(_ id: Int, _ epoch: Int64, now: Int64) -> Bool {
    guard let job = jobs[id], job.epoch == epoch, job.intent, let until = job.leaseUntil else { return false }
    return until > now
  }

  /// `emailmcp.begin_requests`.
  mutating func recordIntent(_ id: Int, _ epoch: Int64, now: Int64) -> SendAttempt.Intent {
    if mine(id, epoch)?.ambiguousTries == 0, suppressed.contains(id), flaw != .unsubscribedInVain { return .suppressed }
    guard var job = live(id, epoch, now) else { return .lost }
    if flaw != .noIntent { job.intent = true }
    jobs[id] = job
    log[id] = .sending
    return .recorded
  }

  mutating func renewLease(_ id: Int, _ epoch: Int64, now: Int64) -> Bool {
    guard var job = live(id, epoch, now) else { return false }
    job.leaseUntil = now + Self.lease
    jobs[id] = job
    if mailboxes[job.mailbox].inFlight == id { mailboxes[job.mailbox].inFlightUntil = now + Self.lease }
    return true
  }

  mutating func record(_ id: Int, _ epoch: Int64, _ status: Status) -> Bool {
    if flaw == .noFence, log[id] != nil {
      log[id] = status
    } else {
      guard mine(id, epoch) != nil else { return false }
      log[id] = status
    }
    if let job = jobs.removeValue(forKey: id) {
      release(job.mailbox, id, refund: status == .failed ? job.recipients : 0)
    }
    return true
  }

  /// `emailmcp.take_back`.
  mutating func takeBack(_ mail: SimulatedMail, _ epoch: Int64) -> Bool {
    guard record(mail.id, epoch, .failed) else { return false }
    if let key = mail.key, keys[key] == mail.id, flaw != .takenBackWithoutItsKey { keys[key] = nil }
    return true
  }

  /// - Parameter parks: its account must be connected again, and other mail that is due waits for that too.
  mutating func requeue(
    _ id: Int, _ epoch: Int64, runAt: Int64, attempts: Int, freeAt: Int64?, wasSent: Bool, parks: Bool = false,
    now: Int64 = 0
  ) -> Bool {
    guard var job = mine(id, epoch) else { return false }
    job.isParked = parks || job.isParked && !job.intent && freeAt == nil
    if job.intent, wasSent, flaw != .failedAfterUnknown { job.ambiguousTries += 1 }
    job.leaseUntil = nil
    job.intent = false
    job.runAt = runAt
    job.attempts = attempts
    jobs[id] = job
    log[id] = .queued
    if parks {
      for (other, waiting) in jobs
      where other != id && waiting.mailbox == job.mailbox && waiting.leaseUntil == nil && waiting.runAt <= now {
        jobs[other]?.runAt = .max
        jobs[other]?.isParked = true
      }
    }
    release(job.mailbox, id, freeAt: freeAt ?? 0, refund: wasSent ? 0 : job.recipients)
    return true
  }

  /// `emailmcp.unpark_jobs`; a mailbox is one user's.
  mutating func unpark(_ mailbox: Int, now: Int64) -> Int {
    let waiting = jobs.filter { $0.value.mailbox == mailbox && $0.value.isParked && $0.value.leaseUntil == nil }
    for id in waiting.keys {
      jobs[id]?.runAt = now
      jobs[id]?.isParked = false
    }
    return waiting.count
  }

  /// `emailmcp.parked_users` and `look_again`: of users whose account is connected, or of whose mails none looks.
  mutating func lookAgain(connected: Bool, now: Int64) -> Int {
    var users = 0
    for mailbox in mailboxes.indices {
      let parked = jobs.filter { $0.value.mailbox == mailbox && $0.value.isParked }
      guard let looksAt = parked.map(\.value.runAt).min(), connected || looksAt == .max else { continue }
      users += 1
      let first = parked.filter { $0.value.leaseUntil == nil }.min { a, b in
        (a.value.runAt, a.key) < (b.value.runAt, b.key)
      }
      if let first { jobs[first.key]?.runAt = now }
    }
    return users
  }

  mutating func cancel(_ id: Int, now: Int64) -> Bool {
    guard let job = jobs[id], !job.intent, (job.leaseUntil ?? 0) <= now else { return false }
    guard job.ambiguousTries == 0 || flaw == .cancelledAfterUnknown else { return false }
    // Counted when the lease was taken.
    if job.leaseUntil != nil { mailboxes[job.mailbox].used = max(0, mailboxes[job.mailbox].used - job.recipients) }
    jobs[id] = nil
    log[id] = .cancelled
    return true
  }
}

/// One mail as a platform asks for it.
struct SimulatedMail {
  var id: Int
  var mailbox: Int
  var policy: SendAttempt.AmbiguityPolicy
  var isAwaited: Bool
  /// Two requests of one key are copies of one another.
  var key: Int?
  var isBulk = false
  var recipients = 1
  var sendAt: Int64?
}
