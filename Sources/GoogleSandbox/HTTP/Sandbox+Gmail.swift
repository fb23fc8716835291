import HTTPServer
import HTTPTypes
import StrictJSON
import TLSSession

/// `users.messages.send` in its three forms.
extension Sandbox {
  /// - Parameter rest: the path after `/users/`.
  func gmail(_ request: SandboxRequest, _ rest: Substring, isUpload: Bool) -> SandboxAnswer {
    let parts = rest.split(separator: "/", maxSplits: 1)
    guard parts.count == 2, let user = PercentText.decode(parts[0].utf8) else { return .error(.notFound) }
    guard let bearer = request.bearer else { return .error(.missingCredential) }
    guard let token = grants.accessToken(bearer, now: now) else { return .error(.invalidCredential) }
    guard parts[1] == "messages/send" else {
      // Methods that need more than gmail.send answer as Google does to such a token; others do not exist.
      let needsMore =
        !isUpload && (parts[1] == "profile" || parts[1] == "messages" || parts[1].hasPrefix("settings/sendAs"))
      return .error(needsMore ? .insufficientScope : .notFound)
    }
    guard request.method == .post else { return .error(.notFound) }
    guard !token.scopes.isDisjoint(with: OAuthScope.allowingSend) else { return .error(.insufficientScope) }
    guard user == "me" || user.lowercased() == token.account.address else {
      return .error(.delegationDenied(for: user))
    }
    return underFaults(.send, account: token.account.address, refusal: gmailFault) {
      do throws(GoogleAPIError) {
        return try send(try sendRequest(request, isUpload: isUpload), from: token.account)
      } catch {
        return .error(error)
      }
    }
  }

  private func sendRequest(_ request: SandboxRequest, isUpload: Bool) throws(GoogleAPIError) -> SendRequest {
    let contentType = request.fields.value(.contentType)
    guard isUpload else {
      guard MediaType(contentType ?? "")?.name == "application/json" else { throw .parseError }
      return try SendRequest(json: request.body)
    }
    switch request.query["uploadType"] {
    case "media": return try SendRequest(media: request.body, contentType: contentType)
    case "multipart": return try SendRequest(multipart: request.body, contentType: contentType)
    default: throw .invalidArgument("Upload type is not supported: \(request.query["uploadType"] ?? "")")
    }
  }

  private func send(_ request: SendRequest, from account: Account) throws(GoogleAPIError) -> SandboxAnswer {
    if let threadID = request.threadID, !mailbox.hasThread(threadID, of: account.address) { throw .notFound }
    let id = mailbox.nextID()
    let message = try Delivery.message(
      of: request, account: account, id: id, threadID: request.threadID ?? id, now: now)
    mailbox.accept(message)
    if let journal {
      journal.accepted(message)
      if journal.wantsCompaction { journal.rewrite(from: self) }
    }
    let isToSelf = message.recipients.contains(account.address)
    var json = JSONWriter()
    json.object { json in
      json.member("id", message.id)
      json.member("threadId", message.threadID)
      json.member("labelIds") { json in
        json.array(of: isToSelf ? ["UNREAD", "SENT", "INBOX"] : ["SENT"]) { $0.value($1) }
      }
    }
    return .json(200, json.finish())
  }

  /// Reasons that stand in the domain `usageLimits` of Google's errors.
  private static let usageReasons: Set<String> = [
    "userRateLimitExceeded", "rateLimitExceeded", "dailyLimitExceeded", "accessNotConfigured", "quotaExceeded",
  ]

  private func gmailFault(_ fault: Fault) -> SandboxAnswer {
    let code = fault.status ?? 500
    let reason = fault.reason ?? (code >= 500 ? "backendError" : "failedPrecondition")
    return .error(
      GoogleAPIError(
        code: code, message: fault.message ?? "Backend Error",
        domain: Self.usageReasons.contains(reason) ? "usageLimits" : "global", reason: reason,
        status: fault.subtype ?? GoogleAPIError.statusWord(for: code)))
  }
}
