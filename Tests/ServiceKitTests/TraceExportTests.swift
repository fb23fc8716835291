import HTTPTypes
import RPCRuntime
import StrictJSON
import Testing
import URLSyntax

@testable import ServiceKit

@Suite("Traces for a collector")
struct TraceExportTests {
  private func settings(_ environment: [String: String]) -> (TraceSettings?, Settings) {
    let settings = Settings(environment)
    return (TraceSettings(settings, service: "mailer"), settings)
  }

  @Test("Without an endpoint, or disabled, nothing is traced")
  func off() throws {
    #expect(settings([:]).0 == nil)
    let endpoint = "http://collector:4318"
    #expect(settings(["OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "true"]).0 == nil)
  }

  @Test("The endpoint's base gets the signal's path; the signal's own endpoint is taken as it is")
  func endpoint() throws {
    let base = settings(["OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/otel/"]).0
    #expect(base?.endpoint.authority == "collector:4318")
    #expect(base?.endpoint.target == "/otel/v1/traces")
    #expect(base?.serviceName == "emailmcp-mailer")
    let own = settings([
      "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SERVICE_NAME": "mail",
      "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces.example/v2/spans",
    ]).0
    #expect(own?.endpoint.scheme == .https)
    #expect(own?.endpoint.target == "/v2/spans")
    #expect(own?.serviceName == "mail")
  }

  /// The host had its brackets, or its capitals, and the client refused to speak to it in the clear.
  @Test(
    "A collector in the clear is known by the name that the client compares",
    arguments: [("[fd00::A]", "fd00::a"), ("Collector", "collector")])
  func collectorsHost(given: String, compared: String) {
    #expect(settings(["OTEL_EXPORTER_OTLP_ENDPOINT": "http://\(given):4318"]).0?.endpoint.host == compared)
  }

  @Test(
    "OpenTelemetry's samplers are known by name",
    arguments: [
      ("always_on", TraceSampler(followsParent: false)), ("parentbased_always_off", TraceSampler(ratio: 0)),
      ("parentbased_traceidratio", TraceSampler(ratio: 0.25)),
      ("traceidratio", TraceSampler(ratio: 0.25, followsParent: false)),
    ])
  func sampler(name: String, sampler: TraceSampler) {
    let (found, _) = settings([
      "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": "0.25",
    ])
    #expect(found?.sampler == sampler)
  }

  @Test(
    "What is wrong stops the start",
    arguments: [
      ["OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"], ["OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://collector"],
      ["OTEL_SDK_DISABLED": "maybe"], ["OTEL_EXPORTER_OTLP_HEADERS": "nokey"],
      ["OTEL_TRACES_SAMPLER": "sometimes"], ["OTEL_TRACES_SAMPLER_ARG": "1.5"],
    ])
  func wrong(environment: [String: String]) {
    let (_, settings) = settings(environment)
    #expect(throws: SettingsError.self) { try settings.finish() }
  }

  @Test("The credentials for the collector are never shown")
  func secret() {
    let (found, settings) = settings([
      "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x, a=b",
    ])
    let entry = settings.entries.first { $0.name == "OTEL_EXPORTER_OTLP_HEADERS" }
    #expect(entry?.value == "<redacted>")
    #expect(found?.headers[.init("authorization")!] == "Bearer x")
  }

  @Test("A batch is OTLP's JSON")
  func body() throws {
    let tracer = Tracer(clock: { 1_700_000_000_000_000_001 }, random: { 0xab })
    let span = tracer.start("a/B", .server, parent: TraceContext(traceID: 1, spanID: 2, isSampled: true))
    span.attributes = ["rpc.method": .text("B")]
    span.end(status: 500)
    let text = String(decoding: OTLPBody.encode(tracer.take(atMost: 1), serviceName: "mail"), as: UTF8.self)
    #expect(
      text == """
        {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mail"}}]},\
        "scopeSpans":[{"scope":{"name":"emailmcp"},"spans":[{"traceId":"00000000000000000000000000000001",\
        "spanId":"00000000000000ab","parentSpanId":"0000000000000002","name":"a/B","kind":2,\
        "startTimeUnixNano":"1700000000000000001","endTimeUnixNano":"1700000000000000001","flags":1,\
        "attributes":[{"key":"http.response.status_code","value":{"intValue":"500"}},\
        {"key":"rpc.method","value":{"stringValue":"B"}}],"status":{"code":2}}]}]}]}
        """)
  }
}
