import CivilTime
import Testing

@testable import MailerService

@Suite("What an answer of Gmail's means")
struct GmailVerdictTests {
  static let now = Timestamp(seconds: 1_795_343_940)

  static func verdict(
    _ status: Int, reason: String? = nil, state: String? = nil, message: String? = nil, retryAfter: String? = nil
  ) -> GmailVerdict {
    let answer = GmailAnswer(reasons: reason.map { [$0] } ?? [], status: state, message: message)
    return GmailVerdict(
      GmailObservation(delivery: .answered, status: status, retryAfter: retryAfter, answer: answer), now: now)
  }

  @Test(
    "Refusals are told apart",
    arguments: [
      (400, "invalidArgument", nil, .invalidMail), (400, "failedPrecondition", nil, .invalidMail),
      (404, nil, nil, .invalidMail),
      (413, nil, nil, .tooLarge), (401, "authError", nil, .tokenRejected),
      (403, "insufficientPermissions", nil, .scopeMissing),
      (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "PERMISSION_DENIED", .scopeMissing),
      (403, "domainPolicy", nil, .domainPolicy), (403, "accessNotConfigured", nil, .notConfigured),
      (403, "SERVICE_DISABLED", "PERMISSION_DENIED", .notConfigured), (403, "dailyLimitExceeded", nil, .projectDay),
      (403, "userRateLimitExceeded", nil, .rateLimited), (403, "rateLimitExceeded", nil, .projectRate),
      (429, "userRateLimitExceeded", nil, .rateLimited), (429, nil, "RESOURCE_EXHAUSTED", .rateLimited),
      (429, nil, nil, .rateLimited),
      (403, nil, nil, .forbidden), (407, nil, nil, .forbidden), (403, nil, "PERMISSION_DENIED", .invalidMail),
      (403, "delegationDenied", nil, .invalidMail), (408, nil, nil, .rateLimited),
    ] as [(Int, String?, String?, GmailRefusal.Kind)])
  func refusals(status: Int, reason: String?, state: String?, kind: GmailRefusal.Kind) {
    guard case .refused(let refusal) = Self.verdict(status, reason: reason, state: state) else {
      Issue.record("not a refusal")
      return
    }
    #expect(refusal.kind == kind)
    #expect(refusal.retryAt == nil)
  }

  @Test(
    "Whose quota it was: the answer's own name for it, else its sentence",
    arguments: [
      (403, "rateLimitExceeded", "User Rate Limit Exceeded", nil, .rateLimited),
      (429, "rateLimitExceeded", "Too many concurrent requests for user", nil, .rateLimited),
      (429, "RATE_LIMIT_EXCEEDED", "Quota exceeded", "SendsPerMinutePerProject", .projectRate),
      (403, "rateLimitExceeded", "Quota exceeded", "SendsPerMinutePerUser", .rateLimited),
    ] as [(Int, String, String, String?, GmailRefusal.Kind)])
  func whoseQuota(_ status: Int, _ reason: String, _ message: String, _ quota: String?, _ kind: GmailRefusal.Kind)
    throws
  {
    let metadata = quota.map { #","metadata":{"quota_limit":"\#($0)"}"# } ?? ""
    let json = #"{"error":{"message":"\#(message)","details":[{"reason":"\#(reason)"\#(metadata)}]}}"#
    let answer = try #require(GmailAnswer(json: Array(json.utf8)))
    let seen = GmailObservation(delivery: .answered, status: status, answer: answer)
    guard case .refused(let refusal) = GmailVerdict(seen, now: .now()) else {
      Issue.record("not a refusal")
      return
    }
    #expect(refusal.kind == kind)
  }

  @Test(
    "The mailbox's day is told apart from a burst, with the time inside the sentence, whatever stands behind it",
    arguments: [" (Mail sending)", ". (Mail sending)", ") (Mail sending)", "., (Mail sending)"])
  func mailboxDay(end: String) {
    let verdict = Self.verdict(
      429, reason: "rateLimitExceeded", state: "RESOURCE_EXHAUSTED",
      message: "User-rate limit exceeded.  Retry after 2026-11-23T01:02:03.456Z\(end)")
    #expect(
      verdict
        == .refused(
          GmailRefusal(
            kind: .mailboxDay, retryAt: Timestamp(rfc3339: "2026-11-23T01:02:03.456Z"), reason: "rateLimitExceeded")))
  }

  @Test("Retry-After is honoured, and bounded")
  func retryAfter() {
    guard case .refused(let soon) = Self.verdict(429, retryAfter: "7"),
      case .refused(let never) = Self.verdict(429, retryAfter: "999999999999"),
      case .refused(let bad) = Self.verdict(429, retryAfter: "soon"),
      case .refused(let dated) = Self.verdict(429, retryAfter: "Mon, 23 Nov 2026 01:02:03 GMT"),
      case .refused(let far) = Self.verdict(429, retryAfter: "Mon, 23 Nov 2099 01:02:03 GMT"),
      case .refused(let negative) = Self.verdict(429, retryAfter: "-7")
    else {
      Issue.record("not refusals")
      return
    }
    #expect(soon.retryAt == Self.now + .seconds(7))
    #expect(never.retryAt == Self.now + .seconds(48 * 3600))
    #expect(bad.retryAt == nil)
    #expect(dated.retryAt == Timestamp(rfc3339: "2026-11-23T01:02:03Z"))
    #expect(far.retryAt == Self.now + .seconds(48 * 3600))
    #expect(negative.retryAt == nil)
  }

  @Test(
    "An answer that says nothing certain leaves the fate unknown",
    arguments: [500, 502, 503, 504, 599, 302, 100, 200])
  func unknown(status: Int) {
    guard case .unknown = Self.verdict(status) else {
      Issue.record("\(status) was taken for certain")
      return
    }
  }

  @Test("A failed server's time to come back is kept")
  func unavailable() {
    let seen = GmailObservation(delivery: .answered, status: 503, retryAfter: "30")
    #expect(
      GmailVerdict(seen, now: Self.now) == .unknown(reason: "http_503", retryAt: Self.now + .seconds(30)))
  }

  @Test("A 403 that is not Gmail's own, a proxy's page for one, says nothing of the account's administrator")
  func foreign() {
    let seen = GmailObservation(delivery: .answered, status: 403, answer: GmailAnswer(json: Array("<html>".utf8)))
    #expect(
      GmailVerdict(seen, now: Self.now)
        == .refused(GmailRefusal(kind: .forbidden, retryAt: nil, reason: "http_403")))
  }

  @Test("A success needs an id that was read whole")
  func success() {
    var seen = GmailObservation(delivery: .answered, status: 200, answer: GmailAnswer(id: "18a", threadID: "18b"))
    #expect(GmailVerdict(seen, now: Self.now) == .success(messageID: "18a", threadID: "18b"))
    seen.failure = "connection_lost"
    #expect(GmailVerdict(seen, now: Self.now) == .unknown(reason: "no_message_id"))
  }

  @Test("The transport alone decides where there is no answer")
  func transport() {
    #expect(
      GmailVerdict(GmailObservation(delivery: .notSent, failure: "connect"), now: Self.now)
        == .notSent(reason: "connect"))
    #expect(GmailVerdict(GmailObservation(delivery: .notProcessed), now: Self.now) == .notProcessed)
    #expect(
      GmailVerdict(GmailObservation(delivery: .unknown, failure: "timeout"), now: Self.now)
        == .unknown(reason: "timeout"))
  }
}
