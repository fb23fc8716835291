import CivilTime
import EventLoop
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("Mail that is taken back at the moment at which it is due")
struct CancelRaceTests {
  @Test("is either taken back and never sent, or too late and sent once")
  func either() async throws {
    let users = (0..<10).map { "user\($0)" }
    try await MailerHarness.run(mailers: 2, users: users) { harness in
      var mails: [(user: String, id: String, subject: String)] = []
      for number in 0..<80 {
        let (user, subject) = (users[number % users.count], "mail \(number).")
        let mail = try await harness.send(user: user, mailer: number % 2) {
          $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600))
          $0.subject = subject
        }
        mails.append((user, mail.id, subject))
      }
      try harness.makeDue()
      let cancels = mails.shuffled().enumerated().map { place, mail in
        let delay = Duration.milliseconds(Int.random(in: 0..<300))
        return harness.reactor.spawn {
          try await harness.reactor.sleep(for: delay)
          let refusal = await harness.reason {
            _ = try await harness.call(
              Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = mail.id }, user: mail.user, mailer: place % 2)
          }
          return (mail, refusal)
        }
      }
      var takenBack = 0
      var told: [(mail: (user: String, id: String, subject: String), refusal: String?)] = []
      for cancel in cancels { told.append(try await cancel.value) }
      #expect(try await harness.eventually { try harness.value("SELECT count(*) FROM send_jobs") == "0" })
      let ledger = harness.gmail.requests.map { MailBase64Judge.decoded($0.body) }
      for (mail, refusal) in told {
        let sent = ledger.count { $0.contains("Subject: \(mail.subject)") }
        let status = try harness.value("SELECT status FROM email_logs WHERE id = '\(mail.id)'")
        switch refusal {
        case nil:
          takenBack += 1
          #expect(sent == 0 && status == "cancelled", "\(mail.subject) \(sent) \(status ?? "")")
        case "too_late": #expect(sent == 1 && status == "success", "\(mail.subject) \(sent) \(status ?? "")")
        default: Issue.record("\(mail.subject): \(refusal ?? "")")
        }
      }
      #expect(0 < takenBack && takenBack < mails.count, "no race: \(takenBack) taken back")
    }
  }
}
