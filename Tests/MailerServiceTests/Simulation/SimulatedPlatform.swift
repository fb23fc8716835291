import CivilTime
import EventLoop
import TestSupport

@testable import MailerService

/// Those who ask: mails over the first half minute, to any replica; some wait for the outcome, some ask twice with the same
/// key or again after a 503, some take a mail back, and some recipients unsubscribe.
struct SimulatedPlatform {
  /// How often one asks again with a key, after 503.
  private static let tries = 4

  private let simulation: Simulation

  init(_ simulation: Simulation) { self.simulation = simulation }

  func start() {
    let count = 4 + simulation.random.below(9)
    for number in 0..<count {
      let mailbox = simulation.random.below(simulation.database.mailboxes.count)
      let policy: SendAttempt.AmbiguityPolicy = simulation.random.chance(0.3) ? .retry : .hold
      let isAwaited = simulation.random.chance(0.6)
      let key = simulation.random.chance(0.3) ? number : nil
      let copies = key == nil ? 1 : 1 + simulation.random.below(3)
      let begin = simulation.random.seconds(0, 30)
      for copy in 0..<copies {
        let delay = copy == 0 ? 0 : simulation.random.seconds(0, 2)
        simulation.after(begin + delay, nil) {
          let mail = simulation.asked {
            SimulatedMail(id: $0, mailbox: mailbox, policy: policy, isAwaited: isAwaited, key: key)
          }
          ask(mail)
        }
      }
    }
  }

  private func ask(_ mail: SimulatedMail, tries: Int = tries) {
    let mailers = simulation.mailers.filter { $0.isAlive && !$0.isDraining }
    guard !mailers.isEmpty else { return }
    let mailer = mailers[simulation.random.below(mailers.count)]
    let hasToken = simulation.random.chance(0.9)
    simulation.note("mail \(mail.id) is asked for", 6, Int64(mail.id), Int64(mailer.number))
    // Over the replica's own loop: it may be asleep.
    simulation.after(simulation.trip(), mailer) {
      let policy = simulation.flaw == .retryAfterUnknown ? .retry : mail.policy
      let isKeyed = mail.key != nil && simulation.flaw != .takenBackInSpiteOfItsKey
      let acceptance = MailAcceptance(atOnce: mail.isAwaited && hasToken, policy: policy, isKeyed: isKeyed)
      accept(mail, acceptance, on: mailer) {
        guard let key = mail.key, tries > 1 else { return }
        simulation.after(simulation.random.seconds(0.1, 3), nil) {
          let again = simulation.asked {
            SimulatedMail(
              id: $0, mailbox: mail.mailbox, policy: mail.policy, isAwaited: mail.isAwaited, key: key)
          }
          ask(again, tries: tries - 1)
        }
      }
    }
    if !mail.isAwaited, simulation.random.chance(0.3) { takeBackLater(mail) }
    if simulation.random.chance(0.1) {
      simulation.after(simulation.random.seconds(0, 20), nil) {
        simulation.note("the recipient of mail \(mail.id) unsubscribes", 7, Int64(mail.id))
        simulation.database.suppressed.insert(mail.id)
      }
    }
  }

  /// As `MessageSender` does.
  private func accept(
    _ mail: SimulatedMail, _ acceptance: MailAcceptance, on mailer: SimulatedMailer, failed: @escaping () -> Void
  ) {
    let asked = mailer.clock
    var acceptance = acceptance
    mailer.hold(mail.id)
    func perform(_ action: MailAcceptance.Action) {
      switch action {
      case .store(let atOnce, let withPayload):
        if simulation.flaw == .answerBeforeCommit, withPayload { simulation.acknowledged(mail.id) }
        mailer.step(of: mail.id) { [simulation] in
          $0.accept(mail, atOnce: atOnce, withPayload: withPayload, now: simulation.databaseNow)
        } then: { answer, mayHaveExecuted in
          perform(
            answer.map { acceptance.answered($0) } ?? acceptance.failed(mayHaveExecuted: mayHaveExecuted))
        }
      case .send(let epoch):
        let policy = simulation.flaw == .retryAfterUnknown ? .retry : mail.policy
        var attempt = SendAttempt(
          lease: Courier.lease(epoch: epoch, askedAt: asked), attempts: 0, ambiguousTries: 0, policy: policy,
          failingSince: nil, awaitedUntil: mailer.clock + MessageSender.defaultWait, hasIntent: true)
        let first = attempt.acceptedForSending(now: mailer.clock)
        mailer.letGo(mail.id)
        mailer.carry(mail, attempt, first) { status in
          if let status { simulation.told(mail.id, status) } else { simulation.acknowledged(mail.id) }
          if !mailer.isDraining { mailer.hint() }
        }
      case .queued:
        mailer.letGo(mail.id)
        simulation.acknowledged(mail.id)
        mailer.hint()
      case .refuse(let answer):
        mailer.letGo(mail.id)
        if answer == .duplicate, let key = mail.key { replay(key, on: mailer) }
      case .fail(let end):
        mailer.letGo(mail.id)
        if let end { takeBack(mail, end, on: mailer) }
        failed()
      }
    }
    perform(acceptance.begin())
  }

  /// The first answer to a key, where there is one.
  private func replay(_ key: Int, on mailer: SimulatedMailer) {
    mailer.step(of: nil) { database in
      database.keys[key].flatMap { id in database.log[id].map { (id, $0) } }
    } then: { [simulation] answer, _ in
      guard case (let id, let status)?? = answer else { return }
      if !simulation.mails[id].isAwaited {
        simulation.acknowledged(id)
      } else if status.isFinal {
        simulation.told(id, status)
      }
    }
  }

  private func takeBack(_ mail: SimulatedMail, _ end: TakeBack, on mailer: SimulatedMailer) {
    var end = end
    func perform(_ action: TakeBack.Action) {
      switch action {
      case .record(let epoch):
        let epoch = simulation.flaw == .takenBackUnderTheFirstEpoch ? 1 : epoch
        mailer.step(of: mail.id) {
          $0.takeBack(mail, epoch)
        } then: { isDone, _ in
          if isDone == true { simulation.tookBack(mail.id) }
          perform(isDone.map { end.answered(isDone: $0) } ?? end.failed(jitter: simulation.random.unit()))
        }
      case .cancel:
        mailer.step(of: mail.id) { [simulation] in
          $0.cancel(mail.id, now: simulation.databaseNow)
        } then: { isDone, _ in
          if isDone == true { simulation.tookBack(mail.id) }
          perform(isDone.map { end.answered(isDone: $0) } ?? end.failed(jitter: simulation.random.unit()))
        }
      case .wait(let delay): simulation.after(delay.wholeNanoseconds, mailer) { perform(end.waited()) }
      case .done: break
      }
    }
    perform(end.begin())
  }

  /// The platform changes its mind.
  private func takeBackLater(_ mail: SimulatedMail) {
    simulation.after(simulation.random.seconds(0, 20), nil) {
      guard let mailer = simulation.mailers.first(where: \.isAlive) else { return }
      mailer.step(of: mail.id) { [simulation] in
        $0.cancel(mail.id, now: simulation.databaseNow)
      } then: { _, _ in
      }
    }
  }
}
