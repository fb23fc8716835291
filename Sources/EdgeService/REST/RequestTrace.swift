import HTTPTypes
import RPCRuntime
import ServiceKit

/// A request's place in its caller's trace, or at the beginning of a new one, and its span where requests are traced.
struct RequestTrace {
  private let parent: String?
  private let state: String?
  private let span: Span?

  /// Longer ones are dropped (W3C Trace Context, 3.3.1.5: at least so many characters are to be passed on).
  static let maxStateLength = 512

  init(_ fields: HTTPFields, _ tracer: Tracer?) {
    let values = fields[values: .traceparent]
    let context = values.count == 1 ? TraceContext(traceparent: values[0]) : nil
    parent = context == nil ? nil : values[0]
    // Of no use, and not to be passed on, without the other.
    let state = fields[values: .tracestate].joined(separator: ",")
    self.state = context == nil || state.isEmpty || state.utf8.count > Self.maxStateLength ? nil : state
    span = tracer?.start("HTTP", .server, parent: context)
  }

  /// What stands for the request in the log.
  var traceparent: String? { span?.context.traceparent ?? parent }

  /// What the calls made for the request carry.
  var scope: CallScope {
    var metadata = Metadata()
    if let traceparent { try? metadata.append(.traceparent, traceparent) }
    if let state { try? metadata.append("tracestate", state) }
    return CallScope(metadata: metadata, trace: span?.context)
  }

  /// - Parameters:
  ///   - method: nil, as `route`, where no route was found: what a stranger makes up names nothing.
  ///   - route: with `{…}` for what differs.
  func end(method: HTTPRequest.Method?, _ route: String?, _ status: HTTPResponse.Status) {
    guard let span else { return }
    if let method, let route {
      span.name = "\(method.rawValue) \(route)"
      span.attributes = ["http.request.method": .text(method.rawValue), "http.route": .text(route)]
    }
    span.end(status: status.code)
  }
}
