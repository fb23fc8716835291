internal import StrictJSON

/// What the admin port answers at once: `/healthz`, `/readyz`, `/metrics`. What it must ask the loops for is `RPCPage`'s.
package struct AdminRoutes: Sendable {
  package struct Answer: Sendable, Equatable {
    package let status: Int
    package let contentType: String
    package let body: [UInt8]
  }

  private let readiness: Readiness
  private let metrics: MetricsRegistry

  package init(readiness: Readiness, metrics: MetricsRegistry) {
    self.readiness = readiness
    self.metrics = metrics
  }

  /// - Parameter path: without a query.
  package func answer(method: String, path: String) -> Answer {
    guard method == "GET" || method == "HEAD" else { return problem(405) }
    switch path {
    case "/healthz": return Self.health
    case "/readyz": return Self.ready(readiness)
    case "/metrics":
      return Answer(status: 200, contentType: MetricsRegistry.contentType, body: metrics.exposition())
    default: return problem(404)
    }
  }

  /// The process is alive: it answers.
  package static let health = Answer(
    status: 200, contentType: "application/json", body: Array(#"{"status":"ok"}"#.utf8))

  /// 200 when the process can do its work, else 503 with what is missing.
  package static func ready(_ readiness: Readiness) -> Answer {
    let reasons = readiness.reasons
    var json = JSONWriter()
    json.object { json in
      json.member("status", reasons.isEmpty ? "ready" : "not_ready")
      guard !reasons.isEmpty else { return }
      json.member("missing") { json in
        json.object { json in
          for (name, reason) in reasons.sorted(by: { $0.key < $1.key }) { json.member(name, reason) }
        }
      }
    }
    return Answer(status: reasons.isEmpty ? 200 : 503, contentType: "application/json", body: json.finish())
  }

  private func problem(_ status: Int) -> Answer {
    Answer(
      status: status, contentType: "application/problem+json",
      body: Array(#"{"status":\#(status),"title":"\#(status == 404 ? "Not Found" : "Method Not Allowed")"}"#.utf8))
  }
}
