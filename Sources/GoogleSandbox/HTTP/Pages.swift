import CivilTime
import StrictJSON

/// The pages for people. Plain HTML, everything that came from outside escaped, nothing that needs a script.
enum Pages {
  static func escape(_ text: some StringProtocol) -> String {
    var result = ""
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func page(_ title: String, _ content: String) -> String {
    """
    <!DOCTYPE html>
    <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
    <title>\(escape(title))</title>
    <style>
    body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#202124;background:#fff}
    h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}
    th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #dadce0;vertical-align:top}
    fieldset{border:1px solid #dadce0;border-radius:8px;margin:1rem 0}label{display:block;padding:.25rem 0}
    input[type=email]{font:inherit;padding:.4rem;width:min(24rem,100%)}
    button{font:inherit;padding:.5rem 1.5rem;margin-right:.5rem}
    pre{background:#f1f3f4;padding:1rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}
    .note{color:#5f6368}.problem{color:#b3261e}
    </style></head><body><main>
    \(content)
    <p class="note">A stand-in for Google, for development and tests. No mail leaves this machine.</p>
    </main></body></html>

    """
  }

  static func consent(
    _ request: AuthorizationRequest, accounts: [Account], action: String, problem: String?
  ) -> String {
    let hint = request.loginHint.flatMap { Account(address: $0)?.address }
    let shown = accounts.suffix(20).map(\.address)
    let known = shown.map { address in
      let checked = address == hint ? " checked" : ""
      let value = escape(address)
      return "<label><input type=\"radio\" name=\"account\" value=\"\(value)\"\(checked)> \(value)</label>"
    }
    let typed = hint.map { shown.contains($0) ? "" : $0 } ?? ""
    let scopes = request.scopes.map { scope in
      guard !scope.isIdentity else { return "<li>\(escape(scope.meaning))</li>" }
      let name = escape(scope.name)
      return """
        <li><label><input type="checkbox" name="grant" value="\(name)" checked> \(escape(scope.meaning)) \
        <span class="note">(\(name))</span></label></li>
        """
    }
    return page(
      "Sign in with the sandbox",
      """
      <h1>\(escape(request.clientID)) wants to access your account</h1>
      \(problem.map { "<p class=\"problem\" role=\"alert\">\(escape($0))</p>" } ?? "")
      <form method="post" action="\(escape(action))"><input type="hidden" name="boxes" value="1">
      <fieldset><legend>Choose an account</legend>
      \(known.joined(separator: "\n"))
      <label>\(known.isEmpty ? "Address" : "Another address")<br>
      <input type="email" name="email" value="\(escape(typed))" autocomplete="off"></label>
      </fieldset>
      <fieldset><legend>What it may do</legend><ul>
      \(scopes.joined(separator: "\n"))
      </ul></fieldset>
      <button type="submit" name="decision" value="allow">Allow</button>
      <button type="submit" name="decision" value="deny">Deny</button>
      </form>
      """)
  }

  static func refusal(_ refusal: AuthorizationRequest.Refusal) -> String {
    page(
      "Error \(refusal.status)",
      """
      <h1>Access blocked: Authorization Error</h1>
      <p>\(escape(refusal.detail))</p>
      <p><strong>Error \(refusal.status): \(escape(refusal.code))</strong></p>
      """)
  }

  static func inbox(_ messages: [StoredMessage], count: Int) -> String {
    let rows = messages.map { message in
      """
      <tr><td>\(escape(message.received.rfc3339(fractionDigits: 0)))</td><td>\(escape(message.from))</td>\
      <td>\(escape(message.recipients.prefix(5).joined(separator: ", ")))\(message.recipients.count > 5 ? " …" : "")</td>\
      <td><a href="/inbox/\(escape(message.id))">\(message.subject.isEmpty ? "(no subject)" : escape(message.subject))</a></td></tr>
      """
    }
    let table = """
      <table><thead><tr><th>Arrived</th><th>From</th><th>To</th><th>Subject</th></tr></thead><tbody>
      \(rows.joined(separator: "\n"))
      </tbody></table>
      """
    return page(
      "Inbox",
      """
      <h1>Inbox</h1>
      <p>\(count) \(count == 1 ? "mail" : "mails") taken\(count > rows.count ? "; the latest \(rows.count):" : ".")</p>
      \(rows.isEmpty ? "<p>Nothing is here yet.</p>" : table)
      """)
  }

  static func message(_ message: StoredMessage) -> String {
    let facts: [(String, String)] = [
      ("From", message.from), ("To", message.to.joined(separator: ", ")), ("Cc", message.cc.joined(separator: ", ")),
      ("Bcc", message.bcc.joined(separator: ", ")), ("Message-ID", message.messageID ?? ""), ("Gmail id", message.id),
      ("Thread", message.threadID), ("Arrived", message.received.rfc3339()),
    ]
    let rows = facts.filter { !$0.1.isEmpty }.map { "<tr><th>\($0.0)</th><td>\(escape($0.1))</td></tr>" }
    let subject = message.subject.isEmpty ? "(no subject)" : message.subject
    return page(
      subject,
      """
      <p><a href="/">Inbox</a></p>
      <h1>\(escape(subject))</h1>
      <table>\(rows.joined(separator: "\n"))</table>
      <h2>Source</h2>
      <pre>\(escape(String(decoding: message.raw.prefix(1 << 20), as: UTF8.self)))</pre>
      """)
  }

  /// What the platform's own page would do in its back end, as a command for a person to run.
  static func platformCallback(_ query: URLEncodedForm) -> String {
    if let error = query["error"] {
      return page(
        "Not connected", "<h1>Not connected</h1>\n<p>The answer was: <strong>\(escape(error))</strong></p>")
    }
    guard let code = query["code"], let state = query["state"] else {
      return page(
        "Not connected",
        "<h1>Not connected</h1>\n<p>This address expects <code>code</code> and <code>state</code>.</p>")
    }
    let answer = URLEncodedForm([("code", code), ("state", state)]).encoded
    let command = """
      curl -sS -X POST "$EMAILMCP_URL/v1/oauth/callback?user_id=USER&\(answer)" -H "Authorization: Bearer $EMAILMCP_API_KEY"
      """
    return page(
      "Almost connected",
      """
      <h1>Almost connected</h1>
      <p>This page stands in for the platform's own. The platform's back end, which knows who is logged in, now finishes the
      connection with its API key. To do that by hand, put the user's id for <code>USER</code> and run:</p>
      <pre>\(escape(command))</pre>
      """)
  }
}

extension Sandbox {
  func inboxPage(_ request: SandboxRequest) -> SandboxAnswer {
    let messages = mailbox.latest(100, account: request.query["account"]?.lowercased())
    return .html(200, Pages.inbox(messages, count: mailbox.acceptedCount))
  }

  func messagePage(_ id: String) -> SandboxAnswer {
    guard let message = mailbox.message(id) else { return .text(404, "no such message") }
    return .html(200, Pages.message(message))
  }
}
