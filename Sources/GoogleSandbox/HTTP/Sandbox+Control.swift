import CivilTime
import HTTPTypes
import StrictJSON
import TLSSession

/// `/sandbox/…`: what tests and a curious person look at and turn.
extension Sandbox {
  func control(_ request: SandboxRequest, _ route: Substring) -> SandboxAnswer {
    switch (request.method, route) {
    case (.get, "messages"): messageList(request)
    case (.get, _) where route.hasPrefix("messages/"): messageDetail(String(route.dropFirst(9)))
    case (.get, "ledger"): ledger(request)
    case (.get, "faults"): faultList()
    case (.post, "faults"): addFault(request)
    case (.delete, "faults"): clearFaults()
    case (.delete, _) where route.hasPrefix("faults/"): removeFault(route.dropFirst(7))
    case (.post, "reset"): reset(request)
    case (.post, "expire-access-tokens"): expireAccessTokens(request)
    case (.post, "revoke-account"): revokeAccount(request)
    default: .json(404, problem("no such route"))
    }
  }

  private func messageList(_ request: SandboxRequest) -> SandboxAnswer {
    let limit = request.query["limit"].flatMap { Int($0) } ?? 100
    let messages = mailbox.latest(min(max(limit, 0), 1_000), account: request.query["account"]?.lowercased())
    var json = JSONWriter(capacity: 256 * messages.count)
    json.object { json in
      json.member("count", mailbox.acceptedCount)
      json.member("messages") { json in
        json.array(of: messages) { json, message in json.object { members(of: message, &$0) } }
      }
    }
    return .json(200, json.finish())
  }

  private func messageDetail(_ id: String) -> SandboxAnswer {
    guard let message = mailbox.message(id) else { return .json(404, problem("no such message")) }
    var json = JSONWriter(capacity: message.raw.count * 2)
    json.object { json in
      members(of: message, &json)
      json.member("raw", Base64.encode(message.raw, .urlSafe))
    }
    return .json(200, json.finish())
  }

  private func members(of message: StoredMessage, _ json: inout JSONWriter) {
    json.member("id", message.id)
    json.member("threadId", message.threadID)
    json.member("account", message.account)
    json.member("from", message.from)
    for (name, addresses) in [("to", message.to), ("cc", message.cc), ("bcc", message.bcc)] {
      json.member(name) { json in json.array(of: addresses) { $0.value($1) } }
    }
    json.member("subject", message.subject)
    json.member("message_id_header", message.messageID)
    json.member("received_at", message.received.rfc3339())
    json.member("size", message.raw.count)
  }

  /// Every accepted send in order; `after` skips that many.
  private func ledger(_ request: SandboxRequest) -> SandboxAnswer {
    let after = max(request.query["after"].flatMap { Int($0) } ?? 0, mailbox.ledgerStart)
    let limit = min(max(request.query["limit"].flatMap { Int($0) } ?? 10_000, 0), 100_000)
    let from = min(after - mailbox.ledgerStart, mailbox.ledger.count)
    let entries = mailbox.ledger[from..<min(from + limit, mailbox.ledger.count)]
    var json = JSONWriter(capacity: 200 * entries.count)
    json.object { json in
      json.member("count", mailbox.acceptedCount)
      json.member("entries") { json in
        json.array(of: entries) { json, entry in
          json.object { json in
            json.member("id", entry.id)
            json.member("threadId", entry.threadID)
            json.member("account", entry.account)
            json.member("message_id_header", entry.messageID)
            json.member("recipients", entry.recipientCount)
            json.member("accepted_at", entry.accepted.rfc3339())
          }
        }
      }
    }
    return .json(200, json.finish())
  }

  private func addFault(_ request: SandboxRequest) -> SandboxAnswer {
    guard let value = try? JSONValue(parsing: request.body) else { return .json(400, problem("the body is not JSON")) }
    do throws(JSONFieldErrors) {
      let id = faults.add(try Fault(json: value))
      return .json(201, Array("{\"id\":\(id)}".utf8))
    } catch {
      return .json(400, problem(error.items.map { "\($0.field) \($0.message)" }.joined(separator: "; ")))
    }
  }

  private func faultList() -> SandboxAnswer {
    var json = JSONWriter()
    json.object { json in
      json.member("faults") { json in
        json.array(of: faults.faults) { json, entry in
          json.object { json in
            json.member("id", entry.id)
            json.member("route", entry.fault.route.rawValue)
            if let account = entry.fault.account { json.member("account", account) }
            if let status = entry.fault.status { json.member("status", status) }
            json.member("close", entry.fault.closes)
            json.member("accept", entry.fault.isCarriedOut)
            json.member("fired", entry.fault.fired)
            if let left = entry.fault.left { json.member("left", left) }
          }
        }
      }
    }
    return .json(200, json.finish())
  }

  private func clearFaults() -> SandboxAnswer {
    faults.clear()
    return SandboxAnswer(status: 204)
  }

  private func removeFault(_ id: Substring) -> SandboxAnswer {
    guard let id = Int(id), faults.remove(id) else { return .json(404, problem("no such fault")) }
    return SandboxAnswer(status: 204)
  }

  /// Forgets mails and faults; with `?grants=true` also accounts and tokens.
  private func reset(_ request: SandboxRequest) -> SandboxAnswer {
    mailbox.clear()
    faults.clear()
    if request.query["grants"] == "true" { grants = GrantStore() }
    journal?.rewrite(from: self)
    return SandboxAnswer(status: 204)
  }

  /// As when Google ends access tokens early: refresh tokens stay good. `?account=` for one account.
  private func expireAccessTokens(_ request: SandboxRequest) -> SandboxAnswer {
    grants.expireAccessTokens(of: request.query["account"]?.lowercased())
    return SandboxAnswer(status: 204)
  }

  /// As when a person takes the access back in the account's settings.
  private func revokeAccount(_ request: SandboxRequest) -> SandboxAnswer {
    guard let account = request.query["account"].flatMap({ Account(address: $0) }) else {
      return .json(400, problem("account must be an address"))
    }
    grants.revokeAll(of: account)
    journal?.revoked(account)
    return SandboxAnswer(status: 204)
  }

  private func problem(_ text: String) -> [UInt8] {
    var json = JSONWriter()
    json.object { $0.member("error", text) }
    return json.finish()
  }
}
