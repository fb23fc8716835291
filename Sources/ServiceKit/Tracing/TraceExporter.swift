internal import CoreMetrics
internal import EventLoop
internal import HTTPSClient
internal import HTTPTypes
internal import Logging
internal import RPCRuntime
internal import URLSyntax

/// Brings the process's ended spans to the collector, in batches. One a process, on its first loop.
///
/// A batch that the collector does not take is dropped: what waits for it stays bounded, and calls never wait.
final class TraceExporter {
  private let tracer: Tracer
  private let settings: TraceSettings
  private let reactor: Reactor
  private let http: HTTPSClient
  private let logger: Logger
  private let exported = Counter(label: "emailmcp_trace_spans_exported_total")
  private let dropped = Counter(label: "emailmcp_trace_spans_dropped_total")
  private var isFailing = false
  private var task: Task<Void, any Error>?

  /// Spans in one request: OpenTelemetry's own default.
  static let batch = 512
  /// How often is looked whether a whole batch is there.
  private static let look = Duration.milliseconds(100)
  /// For a batch while the process runs, and for all that is left when it stops.
  private static let timeout = Duration.seconds(10)
  private static let farewell = Duration.seconds(2)

  /// Nil where nothing is traced.
  init?(_ life: ProcessLife, on reactor: Reactor) throws {
    guard let tracer = life.tracer, let settings = life.common.tracing else { return nil }
    self.tracer = tracer
    self.settings = settings
    self.reactor = reactor
    logger = life.logger
    var configuration = HTTPSClient.Configuration()
    // A collector in the same network, which gets no secrets, may be spoken to in the clear.
    configuration.plaintextHosts = [settings.endpoint.host]
    http = try HTTPSClient(reactor: reactor, configuration: configuration)
  }

  func start() {
    task = reactor.spawn { [self] in
      var waited = Duration.zero
      while true {
        try await reactor.sleep(for: min(Self.look, settings.interval))
        waited += min(Self.look, settings.interval)
        guard waited >= settings.interval || tracer.endedCount >= Self.batch else { continue }
        waited = .zero
        await export(within: Self.timeout)
      }
    }
  }

  /// Exports what is left.
  func stop() async {
    task?.cancel()
    _ = await task?.result
    await export(within: Self.farewell)
    http.close()
  }

  private func export(within limit: Duration) async {
    let deadline = Instant.current() + limit
    while true {
      let lost = tracer.takeDroppedCount()
      if lost > 0 { dropped.increment(by: lost) }
      let spans = tracer.take(atMost: Self.batch)
      guard !spans.isEmpty else { return }
      let failure = await send(spans, within: deadline - .current())
      if let failure {
        dropped.increment(by: spans.count)
        if !isFailing { logger.warning("traces are not taken", metadata: ["reason": "\(failure)"]) }
      } else {
        exported.increment(by: spans.count)
      }
      isFailing = failure != nil
    }
  }

  /// - Returns: why the collector has not taken them; nil when it has.
  private func send(_ spans: [Span.Record], within limit: Duration) async -> String? {
    guard limit > .zero else { return "out of time" }
    var request = HTTPRequest(.post, to: settings.endpoint, headerFields: settings.headers)
    request.headerFields[.contentType] = "application/json"
    var options = HTTPSClient.Options()
    options.timeout = limit
    do throws(HTTPSClientError) {
      let body = RequestBody(OTLPBody.encode(spans, serviceName: settings.serviceName))
      let response = try await http.send(request, body: body, options: options)
      return response.head.status.kind == .successful ? nil : "status \(response.head.status.code)"
    } catch {
      return "\(error.code)"
    }
  }
}
