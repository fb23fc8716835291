import CivilTime

extension GmailVerdict {
  /// Reads what was seen. The table is Gmail's documentation of errors ("Resolve errors", developers.google.com) and,
  /// for what a broken connection means, the order in which HTTP sends a request.
  init(_ seen: GmailObservation, now: Timestamp) {
    switch seen.delivery {
    case .notSent: self = .notSent(reason: seen.failure ?? "not_sent")
    case .notProcessed: self = .notProcessed
    case .unknown: self = .unknown(reason: seen.failure ?? "no_answer")
    case .answered: self = Self.answered(seen, now: now)
    }
  }

  private static func answered(_ seen: GmailObservation, now: Timestamp) -> GmailVerdict {
    guard let status = seen.status else { return .unknown(reason: "no_status") }
    let answer = seen.answer ?? GmailAnswer()
    switch status {
    case 200...299:
      // A success that we cannot read is no success that we can show.
      guard seen.failure == nil, let id = answer.id, !id.isEmpty else { return .unknown(reason: "no_message_id") }
      return .success(messageID: id, threadID: answer.threadID ?? id)
    case 500...:
      return .unknown(reason: "http_\(status)", retryAt: retryTime(seen, answer, now: now))
    case 400...499:
      let kind = kind(status, answer)
      let retryAt = retryTime(seen, answer, now: now)
      return .refused(
        GmailRefusal(kind: kind, retryAt: retryAt, reason: answer.reasons.first ?? answer.status ?? "http_\(status)"))
    default:
      // 1xx and 3xx: not from Gmail; something in between answered, and nobody knows what it did with the body.
      return .unknown(reason: "http_\(status)")
    }
  }

  private static func kind(_ status: Int, _ answer: GmailAnswer) -> GmailRefusal.Kind {
    let reasons = Set(answer.reasons)
    switch status {
    case 401: return .tokenRejected
    case 413: return .tooLarge
    case 403, 429:
      if isMailboxDay(answer) { return .mailboxDay }
      if reasons.contains("dailyLimitExceeded") { return .projectDay }
      if isProjectRate(status, answer) { return .projectRate }
      if !reasons.isDisjoint(with: ["userRateLimitExceeded", "rateLimitExceeded", "RATE_LIMIT_EXCEEDED"])
        || answer.status == "RESOURCE_EXHAUSTED" || status == 429
      {
        return .rateLimited
      }
      if !reasons.isDisjoint(with: ["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"]) {
        return .scopeMissing
      }
      if !reasons.isDisjoint(with: ["accessNotConfigured", "SERVICE_DISABLED"]) { return .notConfigured }
      if reasons.contains("domainPolicy") { return .domainPolicy }
      // With another reason it is Gmail that refuses; without any, nobody can say that it saw the mail.
      return reasons.isEmpty && answer.status == nil ? .forbidden : .invalidMail
    case 407: return .forbidden
    // Nothing was processed, only too slowly or too early.
    case 408, 425: return .rateLimited
    default: return .invalidMail
    }
  }

  /// "User-rate limit exceeded. Retry after 2026-11-23T01:02:03.456Z (Mail sending)": the account's rolling day.
  private static func isMailboxDay(_ answer: GmailAnswer) -> Bool {
    if answer.reasons.contains("quotaExceeded") { return true }
    return answer.message?.contains("(Mail sending)") ?? false
  }

  /// Google's documentation of Gmail's errors: 403 `rateLimitExceeded` is the project's limit, `userRateLimitExceeded` and
  /// 429 are a user's, and newer answers name the quota. A sentence that speaks of a user is believed before its reason.
  private static func isProjectRate(_ status: Int, _ answer: GmailAnswer) -> Bool {
    if let quota = answer.quotaLimit { return quota.hasSuffix("PerProject") }
    guard status == 403, answer.reasons.contains("rateLimitExceeded") else { return false }
    return answer.message?.lowercased().contains("user") != true
  }

  private static func retryTime(_ seen: GmailObservation, _ answer: GmailAnswer, now: Timestamp) -> Timestamp? {
    let times = [seen.retryAfter.flatMap { Timestamp(retryAfter: $0, now: now) }, answer.message.flatMap(timeInside)]
    guard let latest = times.compactMap({ $0 }).max() else { return nil }
    // A broken clock or answer must not park a mailbox for ever.
    return min(latest, now + .seconds(48 * 3600))
  }

  private static func timeInside(_ message: String) -> Timestamp? {
    let words = message.split(separator: " ")
    guard
      let after = words.indices.dropFirst().first(where: {
        words[$0] == "after" && words[$0 - 1].lowercased() == "retry"
      }),
      after + 1 < words.endIndex
    else { return nil }
    // In a sentence a full stop or a bracket may follow.
    var time = words[after + 1]
    while let last = time.last, !last.isLetter, !last.isNumber { time.removeLast() }
    return Timestamp(rfc3339: time)
  }
}
