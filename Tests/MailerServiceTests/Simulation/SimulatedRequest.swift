import EventLoop
import HTTPSClient

@testable import MailerService

/// One request to Gmail as libcurl lives through it: what arrives, what is taken into the ledger, what the transport saw.
final class SimulatedRequest {
  private let simulation: Simulation
  private let mail: SimulatedMail
  private let mailer: SimulatedMailer
  private let asker: Int

  init(_ simulation: Simulation, _ mail: SimulatedMail, from mailer: SimulatedMailer) {
    self.simulation = simulation
    self.mail = mail
    self.mailer = mailer
    asker = mailer.incarnation
  }

  /// - Parameter begins: the first byte leaves.
  func send(notAfter: Duration, begins: @escaping () -> Void, then: @escaping (GmailObservation) -> Void) {
    let fate = simulation.odds.drawGmail(simulation)
    let there = simulation.trip()
    if case .waits = fate {} else { begins() }
    switch fate {
    case .taken: deliver(after: there) { [self] in answer(200, id: "m\(mail.id)", then) }
    case .slow:
      // Longer than a lease at times: it is renewed meanwhile.
      let delay = simulation.random.seconds(0.2, 45)
      simulation.disturb("slow answer", until: simulation.now + delay)
      deliver(after: delay) { [self] in answer(200, id: "m\(mail.id)", then) }
    case .waits:
      // The process's own wait: it is longer when the process is paused.
      let delay = simulation.random.seconds(0.5, 30)
      simulation.disturb("late connection", until: simulation.now + delay)
      simulation.after(delay, mailer) { [self] in
        guard mailer.clock <= notAfter || simulation.flaw == .requestOutlivesItsLease else {
          return fail(.tooLate, after: 0, then)
        }
        begins()
        deliver(after: simulation.trip()) { [self] in answer(200, id: "m\(mail.id)", then) }
      }
    case .noConnection: fail(.connect, after: there, then)
    case .refusedStream:
      fail(.connectionLost, after: there, then) { $0.refusedUnprocessed = true }
    case .cutOnTheWay:
      simulation.excuse(mail.id)
      fail(.connectionLost, after: there, then) { $0.bodyWasAskedFor = true }
    case .answerLost:
      simulation.excuse(mail.id)
      deliver(after: there) { [self] in
        if simulation.flaw == .silentSecondPost {
          return deliver(after: simulation.trip()) { [self] in answer(200, id: "again", then) }
        }
        fail(.connectionLost, after: simulation.trip(), then) { $0.bodyWasAskedFor = true }
      }
    case .arrivesLate:
      // The deadline of the request passes first.
      simulation.excuse(mail.id)
      let deadline = Courier.requestTimeout.wholeNanoseconds
      simulation.disturb("late arrival", until: simulation.now + deadline + 5_000_000_000)
      deliver(after: deadline + simulation.random.seconds(0, 5)) {}
      fail(.timeout, after: deadline, then) { $0.bodyWasAskedFor = true }
    case .answersNothing:
      simulation.excuse(mail.id)
      deliver(after: there) { [self] in answer(200, id: nil, then) }
    case .brokenAfterTaking:
      simulation.excuse(mail.id)
      deliver(after: there) { [self] in answer(503, id: nil, then) }
    case .broken:
      simulation.excuse(mail.id)
      answer(500, id: nil, then)
    case .refused(let status, let reason, let retryAfter):
      answer(status, id: nil, reason: reason, retryAfter: retryAfter, then)
    }
  }

  private func deliver(after delay: Int64, _ then: @escaping () -> Void) {
    simulation.after(delay, nil) { [self] in
      simulation.delivered(mail.id)
      then()
    }
  }

  private func answer(
    _ status: Int, id: String?, reason: String? = nil, retryAfter: String? = nil,
    _ then: @escaping (GmailObservation) -> Void
  ) {
    let answer = GmailAnswer(id: id, threadID: id, reasons: reason.map { [$0] } ?? [])
    simulation.after(simulation.trip(), mailer, incarnation: asker) {
      then(GmailObservation(delivery: .answered, status: status, retryAfter: retryAfter, answer: answer))
    }
  }

  private func fail(
    _ code: HTTPSClientError.Code, after delay: Int64, _ then: @escaping (GmailObservation) -> Void,
    _ change: (inout TransportObservation) -> Void = { _ in }
  ) {
    var seen = TransportObservation()
    seen.bodyBytes = 1000
    if code != .connect, code != .tooLate { seen.attempts = 1 }
    change(&seen)
    let error = HTTPSClientError(code, "simulated", observation: seen)
    simulation.after(delay, mailer, incarnation: asker) { then(GmailClient.observation(of: error)) }
  }
}
