import CivilTime
import HTTPServer
import HTTPTypes
import ServiceContracts
import StrictJSON
import WireCodec

extension HTTPServerResponse {
  /// An answer of one JSON value.
  static func json(
    _ status: HTTPResponse.Status = .ok, headers: HTTPFields = [:], capacity: Int = 512,
    _ write: (inout JSONWriter) -> Void
  ) -> HTTPServerResponse {
    var json = JSONWriter(capacity: capacity)
    write(&json)
    var headers = headers
    headers[.contentType] = "application/json"
    return HTTPServerResponse(status, headers: headers, body: json.finish())
  }

  /// A piece of a list, and the cursor of the next one; an empty one says that there is none.
  static func list<Item>(
    _ name: String, of items: [Item], bytesEach: Int, next cursor: String, _ write: (inout JSONWriter, Item) -> Void
  ) -> HTTPServerResponse {
    .json(capacity: bytesEach * (items.count + 1)) { json in
      json.object { json in
        json.member(name) { json in json.array(of: items, write) }
        json.member("next_cursor", cursor.isEmpty ? nil : cursor)
      }
    }
  }

  /// A page for a person: it runs nothing, is framed and kept nowhere, and tells nobody its address.
  static func page(_ status: HTTPResponse.Status, title: String, _ content: String) -> HTTPServerResponse {
    HTTPServerResponse(
      status,
      headers: [
        .contentType: "text/html; charset=utf-8", .cacheControl: "no-store", .referrerPolicy: "no-referrer",
        .contentSecurityPolicy: "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
      ],
      body: Array(
        """
        <!doctype html>
        <html lang="en">
        <head><meta charset="utf-8"><meta name="robots" content="noindex"><title>\(title)</title></head>
        <body><main>\(content)</main></body>
        </html>

        """.utf8))
  }
}

extension HTTPField.Name {
  static let referrerPolicy = Self("Referrer-Policy")!
}

extension JSONWriter {
  /// An instant as the API shows it, or null.
  mutating func member(_ name: String, _ time: ProtobufTimestamp?) {
    member(name, time?.timestamp.map { $0.rfc3339() })
  }

  mutating func member(_ name: String, _ bound: DateOrTime?) {
    switch bound?.value {
    case .date(let date): member(name, date)
    case .time(let time): member(name, Optional(time))
    case nil: member(name, String?.none)
    }
  }

  mutating func member(_ name: String, strings: [String]) {
    member(name) { json in json.array(of: strings) { $0.value($1) } }
  }

  /// A message of the log; alone it has its further recipients, its time and its story too.
  mutating func message(_ message: MessageRecord, isAlone: Bool = false) {
    object { json in
      json.member("id", message.id)
      json.member("message_id", message.messageID)
      json.member("thread_id", message.threadID)
      json.member("from_email", message.fromEmail)
      json.member("to", strings: message.to)
      json.member("subject", message.subject)
      json.member("status", message.status.word)
      json.member("error", message.error?.message)
      json.member("created_at", message.createdAt)
      json.member("sent_at", message.sentAt)
      json.member("attempts", message.attempts)
      json.member("metadata") { json in
        json.object { json in
          for (key, value) in message.metadata.pairs.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) })
          {
            json.member(key, value)
          }
        }
      }
      guard isAlone else { return }
      json.member("cc", strings: message.cc)
      json.member("bcc", strings: message.bcc)
      json.member("send_at", message.sendAt)
      json.member("timeline") { json in
        json.array(of: message.timeline) { json, event in
          json.object { json in
            json.member("at", event.at)
            json.member("event", event.event.word)
            if let detail = event.detail { json.member("detail", detail) }
          }
        }
      }
    }
  }
}
