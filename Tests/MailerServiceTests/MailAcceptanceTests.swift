import Testing

@testable import MailerService

@Suite("How a mail is taken")
struct MailAcceptanceTests {
  @Test("At once where that can be, without its payload; else into the queue with it")
  func busy() {
    var hold = MailAcceptance(atOnce: true, policy: .hold, isKeyed: false)
    #expect(hold.begin() == .store(atOnce: true, withPayload: false))
    #expect(hold.answered(.busy) == .store(atOnce: false, withPayload: true))
    #expect(hold.answered(.queued) == .queued)
    #expect(hold.answered(.busy) == .refuse(.busy))
    var retry = MailAcceptance(atOnce: true, policy: .retry, isKeyed: false)
    #expect(retry.begin() == .store(atOnce: true, withPayload: true))
    #expect(retry.answered(.sending(epoch: 1)) == .send(epoch: 1))
    #expect(
      MailAcceptance(atOnce: false, policy: .hold, isKeyed: false).begin() == .store(atOnce: false, withPayload: true))
  }

  @Test("What was not kept is refused, and what failed before it was sent leaves nothing to take back")
  func refused() {
    var acceptance = MailAcceptance(atOnce: true, policy: .hold, isKeyed: false)
    for answer in [MailStore.Accepted.duplicate, .suppressed, .tenantDisabled, .accountChanged] {
      #expect(acceptance.answered(answer) == .refuse(answer))
    }
    #expect(acceptance.failed(mayHaveExecuted: false) == .fail(takeBack: nil))
  }

  @Test("A lost answer is taken back under an epoch that nobody else can have")
  func takenBack() {
    func end(_ acceptance: MailAcceptance) -> TakeBack? {
      if case .fail(let end) = acceptance.failed(mayHaveExecuted: true) { end } else { nil }
    }
    // It cannot have been queued: the first epoch is this process's own.
    #expect(end(MailAcceptance(atOnce: true, policy: .hold, isKeyed: false))?.begin() == .record(epoch: 1))
    // It may have been queued, and the first epoch be the claimer's who sends it now.
    #expect(end(MailAcceptance(atOnce: false, policy: .hold, isKeyed: false))?.begin() == .record(epoch: 0))
    #expect(end(MailAcceptance(atOnce: true, policy: .retry, isKeyed: false))?.begin() == .record(epoch: 0))
    var busy = MailAcceptance(atOnce: true, policy: .hold, isKeyed: false)
    _ = busy.answered(.busy)
    #expect(end(busy)?.begin() == .record(epoch: 0))
  }

  @Test("A keyed mail is left to the queue, for its key answers; one that cannot be queued is taken back with its key")
  func keyed() {
    func end(_ acceptance: MailAcceptance) -> TakeBack? {
      if case .fail(let end) = acceptance.failed(mayHaveExecuted: true) { end } else { nil }
    }
    #expect(end(MailAcceptance(atOnce: false, policy: .hold, isKeyed: true)) == nil)
    #expect(end(MailAcceptance(atOnce: true, policy: .retry, isKeyed: true)) == nil)
    var atOnce = MailAcceptance(atOnce: true, policy: .hold, isKeyed: true)
    #expect(end(atOnce)?.begin() == .record(epoch: 1))
    _ = atOnce.answered(.busy)
    #expect(end(atOnce) == nil)
  }

  @Test("Taking back tries the queue too where it may be, and gives up after so many failures")
  func steps() {
    var queued = TakeBack(isAtOnce: false, isQueueable: true)
    #expect(queued.answered(isDone: false) == .cancel)
    #expect(queued.answered(isDone: false) == .done)
    var atOnce = TakeBack(isAtOnce: true, isQueueable: false)
    #expect(atOnce.answered(isDone: false) == .done)
    var away = TakeBack(isAtOnce: true, isQueueable: false)
    for _ in 1..<TakeBack.tries {
      guard case .wait = away.failed(jitter: 0) else {
        Issue.record("gives up too early")
        return
      }
      #expect(away.waited() == .record(epoch: 1))
    }
    #expect(away.failed(jitter: 0) == .done)
  }

  @Test("A lease is renewed until it is lost; a renewal that fails is tried again soon")
  func renewal() {
    #expect(Lease.wait(afterRenewal: true) == Lease.renewal)
    #expect(Lease.wait(afterRenewal: nil) == Lease.renewalRetry)
    #expect(Lease.wait(afterRenewal: false) == nil)
  }

  @Test("What the queue keeps of a mail is read back, as the release before wrote it too")
  func payload() {
    let payload = MailPayload(mail: [1, 2, 3], threadID: "t", recipients: ["a@example.com"])
    let bytes = payload.head + payload.mail
    #expect(MailPayload(bytes, in: bytes.indices) == payload)
    #expect(MailPayload([2] + bytes.dropFirst(), in: bytes.indices) == payload)
    #expect(MailPayload([3] + bytes.dropFirst(), in: bytes.indices) == nil)
  }
}
