import CivilTime
import EventLoop

@testable import MailerService

/// Performs in the simulated world what `SendAttempt` decides, as `Courier` does in the real one.
final class SimulatedCourier {
  private let mailer: SimulatedMailer
  private let mail: SimulatedMail
  private var attempt: SendAttempt
  private let ended: (SimulatedDatabase.Status?) -> Void
  private var requests = 0
  private var simulation: Simulation { mailer.simulation }

  init(
    _ mailer: SimulatedMailer, _ mail: SimulatedMail, _ attempt: SendAttempt,
    ended: @escaping (SimulatedDatabase.Status?) -> Void
  ) {
    self.mailer = mailer
    self.mail = mail
    self.attempt = attempt
    self.ended = ended
  }

  func perform(_ next: SendAttempt.Action) {
    let (id, epoch) = (mail.id, attempt.lease.epoch)
    if simulation.flaw == .noReserve { forgetTheClock() }
    let action = mailer.isDraining ? attempt.draining(next, time: mailer.time) : next
    switch action {
    case .obtainToken, .renewToken: obtainToken()
    case .renewLease:
      let asked = mailer.clock
      step { [simulation] in
        $0.renewLease(id, epoch, now: simulation.databaseNow)
      } then: { [self] isMine in
        perform(attempt.leaseRenewed(isMine: isMine, until: asked + Lease.duration, now: mailer.clock))
      }
    case .recordIntent:
      step { [simulation] in
        $0.recordIntent(id, epoch, now: simulation.databaseNow)
      } then: { [self] intent in
        perform(attempt.intentAnswered(intent, now: mailer.clock, time: mailer.time))
      }
    case .send: send()
    case .finish(let outcome):
      let status = outcome.simulated
      step {
        $0.record(id, epoch, status)
      } then: { [self] isMine in
        attempt.ended()
        ended(isMine ? status : nil)
      }
    case .requeue(let requeue):
      let (runAt, attempts) = (mailer.nanoseconds(requeue.at), attempt.attempts)
      step {
        $0.requeue(
          id, epoch, runAt: runAt, attempts: attempts, freeAt: requeue.pausesMailbox ? runAt : nil,
          wasSent: requeue.reason == .ambiguous)
      } then: { [self] _ in
        attempt.ended()
        ended(nil)
      }
    case .wait(let delay):
      simulation.after(delay.wholeNanoseconds, mailer) { [self] in perform(attempt.waited()) }
    case .abandon: ended(nil)
    }
  }

  private func step<Answer>(
    _ transaction: @escaping (inout SimulatedDatabase) -> Answer, then: @escaping (Answer) -> Void
  ) {
    mailer.step(of: mail.id, transaction) { [self] answer, _ in
      if let answer { return then(answer) }
      perform(
        attempt.databaseFailed(isTransient: true, now: mailer.clock, jitter: simulation.random.unit()))
    }
  }

  private func obtainToken() {
    let fate = simulation.odds.drawToken(simulation)
    requests += 1
    if simulation.flaw != .leaseIsNotRenewedForTheToken { renew(requests) }
    simulation.after(simulation.odds.drawTokenDelay(simulation) + simulation.trip(), mailer) { [self] in
      requests += 1
      if let fate {
        perform(attempt.tokenFailed(fate, now: mailer.clock, time: mailer.time, jitter: simulation.random.unit()))
      } else {
        perform(attempt.tokenObtained(now: mailer.clock))
      }
    }
  }

  // MARK: Gmail

  private func send() {
    let (id, epoch) = (mail.id, attempt.lease.epoch)
    if simulation.flaw == .outcomeBeforeRequest {
      mailer.step(of: id) {
        $0.record(id, epoch, .success)
      } then: { _, _ in
      }
    }
    requests += 1
    renew(requests)
    let number = requests
    SimulatedRequest(simulation, mail, from: mailer).send(notAfter: attempt.lease.until) { [simulation] in
      simulation.began(id, epoch: epoch)
    } then: { [self] observation in
      guard number == requests else { return }
      requests += 1
      let verdict = corrupted(GmailVerdict(observation, now: mailer.time))
      if case .success = verdict { simulation.answered(id) }
      perform(attempt.answered(verdict, now: mailer.clock, time: mailer.time, jitter: simulation.random.unit()))
    }
  }

  /// `LeaseRenewal`.
  private func renew(_ request: Int, after delay: Duration = Lease.renewal) {
    guard simulation.flaw != .leaseIsNotRenewed else { return }
    let (id, epoch) = (mail.id, attempt.lease.epoch)
    simulation.after(delay.wholeNanoseconds, mailer) { [self] in
      guard request == requests else { return }
      mailer.step(of: id) { [simulation] in
        $0.renewLease(id, epoch, now: simulation.databaseNow)
      } then: { [self] isMine, _ in
        guard request == requests, let wait = Lease.wait(afterRenewal: isMine) else { return }
        renew(request, after: wait)
      }
    }
  }

  // MARK: Flaws

  private func corrupted(_ verdict: GmailVerdict) -> GmailVerdict {
    switch (simulation.flaw, verdict) {
    case (.retryAfterUnknown?, .unknown): .notSent(reason: "flaw")
    case (.unknownTakenForFailed?, .unknown):
      .refused(GmailRefusal(kind: .invalidMail, retryAt: nil, reason: "flaw"))
    case (.serverErrorTakenForRefusal?, .unknown(let reason, _)) where reason.hasPrefix("http_5"):
      .refused(GmailRefusal(kind: .rateLimited, retryAt: nil, reason: "flaw"))
    default: verdict
    }
  }

  private func forgetTheClock() {
    guard attempt.state == .recordingIntent || attempt.state == .obtainingToken else { return }
    _ = attempt.leaseRenewed(until: .seconds(1 << 40), now: mailer.clock)
  }
}

extension SendOutcome {
  var simulated: SimulatedDatabase.Status {
    switch self {
    case .success: .success
    case .failed: .failed
    case .unknown: .unknown
    }
  }
}
