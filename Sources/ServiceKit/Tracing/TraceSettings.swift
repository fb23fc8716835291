internal import HTTPTypes
package import RPCRuntime
package import URLSyntax

/// Where traces go, by OpenTelemetry's own names; see docs/OPERATIONS.md.
package struct TraceSettings: Sendable {
  /// The collector.
  package let endpoint: HTTPURL
  /// Sent with each batch. Often a credential.
  let headers: HTTPFields
  package let serviceName: String
  package let sampler: TraceSampler
  package let interval: Duration

  /// Nil without an endpoint: nothing is traced then.
  package init?(_ settings: Settings, service: String) {
    let traces = settings.value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") { text throws(SettingProblem) in
      try Self.collector(text)
    }
    let base = settings.value("OTEL_EXPORTER_OTLP_ENDPOINT") { text throws(SettingProblem) in
      // The base gets the signal's own path.
      try Self.collector(text + (text.hasSuffix("/") ? "v1/traces" : "/v1/traces"))
    }
    headers = settings.optionalSecret("OTEL_EXPORTER_OTLP_HEADERS", Self.fields) ?? [:]
    serviceName = settings.string("OTEL_SERVICE_NAME", default: "emailmcp-\(service)")
    let ratio = settings.value("OTEL_TRACES_SAMPLER_ARG", default: "1") { text throws(SettingProblem) in
      guard let ratio = Double(text), 0...1 ~= ratio else { throw SettingProblem("must be a number from 0 to 1") }
      return ratio
    }
    let sampler = settings.value("OTEL_TRACES_SAMPLER", default: "parentbased_always_on") {
      text throws(SettingProblem) in
      switch text {
      case "always_on": TraceSampler(followsParent: false)
      case "always_off": TraceSampler(ratio: 0, followsParent: false)
      case "traceidratio": TraceSampler(ratio: ratio ?? 1, followsParent: false)
      case "parentbased_always_on": TraceSampler()
      case "parentbased_always_off": TraceSampler(ratio: 0)
      case "parentbased_traceidratio": TraceSampler(ratio: ratio ?? 1)
      default: throw SettingProblem("is none of OpenTelemetry's samplers")
      }
    }
    let delay = settings.integer("OTEL_BSP_SCHEDULE_DELAY", default: 5000, in: 1...3_600_000)
    let isDisabled = settings.value("OTEL_SDK_DISABLED", default: "false") { text throws(SettingProblem) in
      guard let isDisabled = Bool(text.lowercased()) else { throw SettingProblem("must be true or false") }
      return isDisabled
    }
    guard isDisabled == false, let endpoint = traces ?? base, let sampler else { return nil }
    self.endpoint = endpoint
    self.sampler = sampler
    interval = .milliseconds(delay)
  }

  private static func collector(_ text: String) throws(SettingProblem) -> HTTPURL {
    guard let url = HTTPURL(text) else {
      throw SettingProblem("must be an http or https URL such as http://collector:4318, without a user name")
    }
    return url
  }

  /// `name=value,name=value`, values percent-encoded.
  private static func fields(_ text: String) throws(SettingProblem) -> HTTPFields {
    var fields = HTTPFields()
    for pair in text.split(separator: ",") {
      let parts = pair.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, let name = HTTPField.Name(String(parts[0].filter { $0 != " " })) else {
        throw SettingProblem("it must be name=value,name=value")
      }
      fields[name] = decoded(parts[1])
    }
    return fields
  }

  private static func decoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
