package import RPCRuntime

/// Spans of HTTP requests, by OpenTelemetry's conventions. No target: a path may name a user.
extension Tracer {
  /// A request to another host, which is not told of the trace: it is not ours.
  package func startRequest(method: String, authority: String) -> Span {
    let span = start(method, .client, parent: CallScope.current?.trace)
    span.attributes = ["http.request.method": .text(method), "server.address": .text(authority)]
    return span
  }
}

extension Span {
  /// A response has come.
  package func end(status: Int) {
    attributes["http.response.status_code"] = .number(status)
    end(isError: status >= (kind == .server ? 500 : 400))
  }

  /// None has come.
  package func end(failure: String) {
    attributes["error.type"] = .text(failure)
    end(isError: true)
  }
}
