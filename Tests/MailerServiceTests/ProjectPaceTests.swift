import CivilTime
import EventLoop
import Foundation
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("The project's quota")
struct ProjectPaceTests {
  @Test("An allowance: what is held, what is left to mail that somebody waits for, what is owed")
  func allowance() {
    // 12,000 sends a minute: 12 in advance.
    let terms = ProjectAllowance.Terms(unitsPerMinute: 1_200_000)
    #expect(terms.stock == 12 && terms.perMinute == 12_000 && terms.interval == .microseconds(5250))
    var allowance = ProjectAllowance(terms)
    #expect(allowance.room(at: .zero, isBulk: false) == 12 && allowance.room(at: .zero, isBulk: true) == 6)
    #expect(allowance.want == 12, "what is held at the start is owed")
    for _ in 0..<7 { allowance.count() }
    #expect(allowance.room(at: .zero, isBulk: true) == 0 && allowance.room(at: .zero, isBulk: false) == 5)
    #expect(allowance.want == 19)
    allowance.given(12, share: 1, pausedFor: .zero, at: .zero)
    #expect(allowance.held == 5 && allowance.want == 7)
    for _ in 0..<8 { allowance.count() }
    #expect(allowance.held == -3 && allowance.want == 15 && allowance.room(at: .zero, isBulk: false) == 0)
    allowance.given(15, share: 0.7, pausedFor: .seconds(3), at: .seconds(10))
    #expect(allowance.held == 12 && allowance.share == 0.7)
    #expect(allowance.isPaused(at: .seconds(12.9)) && !allowance.isPaused(at: .seconds(13)))
    #expect(allowance.room(at: .seconds(12), isBulk: false) == 0)
    let least = ProjectAllowance.Terms(unitsPerMinute: 100)
    #expect(least.stock == 1 && least.burst == least.interval)
  }

  @Test("Mailers that take all they can get: never more than the quota in any 60 s, and nearly all of it")
  func window() {
    // The database's arithmetic with a clock of its own, and four mailers over it.
    let terms = ProjectAllowance.Terms(unitsPerMinute: 60_000)
    var paidUntil: Duration = .zero
    var mailers = [ProjectAllowance](repeating: ProjectAllowance(terms), count: 4)
    var starts: [Duration] = []
    var random = SystemRandomNumberGenerator()
    for tick in 0..<18_000 {
      let now: Duration = .milliseconds(20 * tick)
      // Two minutes of load, one of rest.
      let isLoaded = tick % 9000 < 6000
      for index in mailers.indices.shuffled(using: &random) {
        if isLoaded {
          while mailers[index].room(at: now, isBulk: false) > 0 {
            mailers[index].count()
            starts.append(now)
          }
        }
        let ahead = max(.zero, paidUntil - now)
        let room = Int((terms.burst - ahead) / terms.interval + 1e-6)
        let granted = max(0, min(mailers[index].want, room))
        paidUntil = now + ahead + terms.interval * granted
        mailers[index].given(granted, share: 1, pausedFor: .zero, at: now)
      }
    }
    var first = 0
    var most = 0
    for (last, start) in starts.enumerated() {
      while start - starts[first] >= .seconds(60) { first += 1 }
      most = max(most, last - first + 1)
    }
    #expect(most <= terms.perMinute && most > terms.perMinute * 9 / 10, "\(most) of \(terms.perMinute)")
  }

  @Test("The database gives out the quota once, however many ask, and keeps a pause and a cut for all")
  func shared() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let terms = ProjectAllowance.Terms(unitsPerMinute: 6000)
      try await harness.withStore { store in
        var granted = 0
        for _ in 0..<20 { granted += try await store.takeProject(5, terms).granted }
        // A second's worth at once, whatever else the clock brings meanwhile is not more than one in 1.05 s.
        #expect((1...12).contains(granted))
        try await store.slowProject(.init(pause: .seconds(600), isCut: true))
        let paused = try await store.takeProject(5, terms)
        #expect(paused.granted == 0 && paused.share < 0.71 && paused.paused > .seconds(500))
        try await store.slowProject(.init(pause: .zero, isCut: true))
        #expect(try await store.takeProject(5, terms).share > 0.69, "refusals that come together cut once")
      }
    }
  }

  @Test("A refusal is told once, and again only where it could not be; of several the longest pause and any cut count")
  func refusals() throws {
    let pause = ProjectPause(unitsPerMinute: 6000)
    #expect(pause.exchange().refusal == nil && !pause.isPaused(at: .current()))
    pause.pause(until: .current() + .seconds(600), isCut: true)
    pause.pause(until: .current() + .seconds(6), isCut: false)
    let first = try #require(pause.exchange().refusal)
    #expect(first.isCut && first.pause > .seconds(500) && pause.isPaused(at: .current()))
    #expect(pause.exchange().refusal == nil)
    pause.keep(first)
    #expect(pause.exchange().refusal == first)
    // What came meanwhile is the newer one.
    pause.pause(until: .current() + .seconds(60), isCut: false)
    pause.keep(first)
    #expect(pause.exchange().refusal?.isCut == false)
  }

  @Test("What Gmail said of the project is kept while the database does not take it, and told all mailers when it does")
  func keptRefusal() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try harness.database.execute(
        """
        ALTER FUNCTION emailmcp.slow_project RENAME TO told;
        CREATE SEQUENCE tries;
        CREATE FUNCTION emailmcp.slow_project(p_pause double precision, p_cut boolean) RETURNS void
          LANGUAGE plpgsql SECURITY DEFINER AS $$
          BEGIN
            RAISE EXCEPTION 'not now, at the %. time', nextval('tries');
          END $$;
        """)
      try await harness.withStore { store in
        let pause = ProjectPause(unitsPerMinute: 6000)
        pause.pause(until: .current() + .seconds(600), isCut: true)
        let quota = ProjectQuota(
          reactor: harness.reactor, store: store, pause: pause, logger: MailerHarness.logger)
        quota.start()
        #expect(try await harness.eventually { try harness.value("SELECT last_value >= 3 FROM tries") == "t" })
        #expect(try harness.value("SELECT share FROM project_pace") == "1")
        try harness.database.execute(
          "DROP FUNCTION emailmcp.slow_project; ALTER FUNCTION emailmcp.told RENAME TO slow_project")
        let isTold = try await harness.eventually {
          try harness.value("SELECT share = 0.7 AND paused_until > now() + interval '9 min' FROM project_pace") == "t"
        }
        #expect(isTold)
        await quota.stop()
      }
    }
  }

  @Test("Gmail's word that the project is too fast stops all mailers for a while and no mailbox's queue order")
  func refused() async throws {
    try await MailerHarness.run(mailers: 2, users: ["ann", "bea"]) { harness in
      harness.gmail.script = { number, _ in
        number == 1 ? .status(403, reason: "rateLimitExceeded", message: "Rate Limit Exceeded") : .success
      }
      let first = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(
        try await harness.eventually { try harness.value("SELECT share < 1 FROM project_pace") == "t" })
      #expect(try harness.value("SELECT share FROM mailboxes WHERE google_sub = 'sub-ann'") == "1")
      let other = try await harness.send(user: "bea", mailer: 1) { $0.wait = ProtobufDuration(.zero) }
      #expect(try await harness.eventually { try await harness.get(first.id).status == .success })
      #expect(
        try await harness.eventually {
          try harness.value("SELECT status FROM email_logs WHERE id = '\(other.id)'") == "success"
        })
      #expect(harness.gmail.requests.count == 3)
      let capacity = try await harness.call(Mailer.getCapacity, .init())
      let project = try #require(capacity.project)
      #expect(project.limit > 0 && project.current < project.limit)
    }
  }

  @Test("When the project's day is over all mailers rest, whoever's mail it is, and all of it goes after that")
  func dayIsOver() async throws {
    try await MailerHarness.run(mailers: 2, users: ["ann", "bea"]) { harness in
      harness.gmail.script = { number, _ in number == 1 ? .status(403, reason: "dailyLimitExceeded") : .success }
      let first = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      // A quarter of an hour where Gmail names no time. No cut: the pace was not what was wrong.
      let isPaused = try await harness.eventually {
        try harness.value("SELECT paused_until > now() + interval '10 min' AND share = 1 FROM project_pace") == "t"
      }
      #expect(isPaused)
      // The other mailer learns it from the database; until then, for at most 2 s, its mail goes.
      var (ids, gone) = ([first.id], 0)
      let rests = try await harness.eventually {
        let mail = try await harness.send(user: "bea", mailer: 1) { $0.wait = ProtobufDuration(.seconds(1)) }
        ids.append(mail.id)
        gone += mail.status == .success ? 1 : 0
        return mail.status == .queued
      }
      #expect(rests)
      ids.append(try await harness.send(user: "bea") { $0.wait = ProtobufDuration(.zero) }.id)
      #expect(harness.gmail.requests.count == 1 + gone)
      let entry = try await harness.get(first.id).timeline.last
      #expect(entry?.event == .refused && entry?.detail == "project_daily_limit: dailyLimitExceeded")
      #expect(try harness.value("SELECT count(*) FROM mailboxes WHERE paused_reason IS NOT NULL") == "0")
      for _ in 0..<2 { await harness.stopMailer() }
      try harness.database.execute("UPDATE project_pace SET paused_until = '-infinity'")
      try harness.makeDue()
      try await harness.startMailer()
      let allWent = try await harness.eventually {
        try harness.value("SELECT count(*) FROM email_logs WHERE status = 'success'") == "\(ids.count)"
      }
      #expect(allWent)
      #expect(harness.gmail.requests.count == 1 + ids.count)
    }
  }
}
