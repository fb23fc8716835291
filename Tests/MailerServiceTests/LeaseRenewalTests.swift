import EventLoop
import TestSupport
import Testing

@testable import MailerService

@Suite("A lease whose request takes longer than it lasts")
struct LeaseRenewalTests {
  private struct Away: Error {}

  /// Renewals with these answers, a millisecond apart, and what each was followed by.
  private static func renewals(
    _ reactor: Reactor, _ answers: [Result<Bool, Away>], then last: @escaping () -> Void
  ) -> (renewal: LeaseRenewal, seen: () -> [Bool?]) {
    var seen: [Bool?] = []
    var left = answers[...]
    let renewal = LeaseRenewal(
      reactor: reactor,
      wait: { isMine in
        if let wait = Lease.wait(afterRenewal: isMine) { return wait / 5000 }
        return nil
      },
      renew: {
        guard let answer = left.popFirst() else {
          Issue.record("one renewal more than there was to be")
          return false
        }
        seen.append(try? answer.get())
        if left.isEmpty { last() }
        return try answer.get()
      })
    return (renewal, { seen })
  }

  @Test("is renewed again and again, also after the database did not answer, until it is another's")
  func again() async throws {
    try await onLoop { reactor in
      var waiter: Waiter<Void>?
      let (renewal, seen) = Self.renewals(
        reactor, [.success(true), .success(true), .failure(Away()), .success(true), .success(false)]
      ) { waiter?.resume(returning: ()) }
      try await reactor.wait {
        waiter = $0
        renewal.start()
      }
      // Time for one more.
      try await reactor.sleep(for: .milliseconds(5))
      #expect(seen() == [true, true, nil, true, false])
      renewal.stop()
    }
  }

  @Test("is renewed no more once its request has ended, be it before the first renewal or after some")
  func stops() async throws {
    try await onLoop { reactor in
      for count in 0...2 {
        var waiter: Waiter<Void>?
        let (renewal, seen) = Self.renewals(reactor, .init(repeating: .success(true), count: count)) {
          waiter?.resume(returning: ())
        }
        if count == 0 {
          renewal.start()
        } else {
          try await reactor.wait {
            waiter = $0
            renewal.start()
          }
        }
        renewal.stop()
        try await reactor.sleep(for: .milliseconds(5))
        #expect(seen().count == count)
      }
    }
  }
}
