package import CivilTime
package import Logging
internal import StrictJSON

/// How log lines look.
package enum LogFormat: String, CaseIterable, Sendable {
  /// One JSON object a line: `time`, `level`, `message`, `service`, then the context and the metadata.
  case json
  /// For people at a terminal.
  case text
}

/// swift-log's back end of every process.
package struct ServiceLogHandler: LogHandler {
  package var metadataProvider: Logger.MetadataProvider?
  package var metadata: Logger.Metadata = [:]
  package var logLevel: Logger.Level
  private let label: String
  private let service: String
  private let format: LogFormat
  private let write: @Sendable ([UInt8]) -> Void
  private let now: @Sendable () -> Timestamp

  package init(
    label: String, service: String, level: Logger.Level, format: LogFormat,
    now: @escaping @Sendable () -> Timestamp = Timestamp.now, write: @escaping @Sendable ([UInt8]) -> Void
  ) {
    self.label = label
    self.service = service
    self.format = format
    self.write = write
    self.now = now
    logLevel = level
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    var all = metadata
    if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
    if let own = event.metadata { all.merge(own) { $1 } }
    if let error = event.error { all["error"] = "\(error)" }
    switch format {
    case .json: write(json(event, all))
    case .text: write(text(event, all))
    }
  }

  private func json(_ event: LogEvent, _ metadata: Logger.Metadata) -> [UInt8] {
    let context = LogContext.current
    var json = JSONWriter()
    json.object { json in
      json.member("time", now().description)
      json.member("level", event.level.rawValue)
      json.member("message", event.message.description)
      json.member("service", service)
      if label != service { json.member("logger", label) }
      if let requestID = context?.requestID { json.member("request_id", requestID) }
      if let traceID = context?.traceID { json.member("trace_id", traceID) }
      for (name, value) in metadata.sorted(by: { $0.key < $1.key }) where !Self.reserved.contains(name) {
        json.member(name) { write(value, to: &$0) }
      }
    }
    json.newline()
    return json.finish()
  }

  private static let reserved: Set<String> = [
    "time", "level", "message", "service", "logger", "request_id", "trace_id",
  ]

  private func write(_ value: Logger.MetadataValue, to json: inout JSONWriter) {
    switch value {
    case .string(let string): json.value(string)
    case .stringConvertible(let value):
      switch value {
      case let number as any BinaryInteger: json.value(JSONValue.number(JSONNumber(Int64(clamping: number))))
      case let number as Double: json.value(number)
      case let bool as Bool: json.value(bool)
      default: json.value(value.description)
      }
    case .array(let values):
      json.array { json in
        for value in values { write(value, to: &json) }
      }
    case .dictionary(let members):
      json.object { json in
        for (name, value) in members.sorted(by: { $0.key < $1.key }) { json.member(name) { write(value, to: &$0) } }
      }
    }
  }

  private func text(_ event: LogEvent, _ metadata: Logger.Metadata) -> [UInt8] {
    var line = "\(now()) \(event.level.rawValue.uppercased()) \(event.message)"
    if let requestID = LogContext.current?.requestID { line += " request_id=\(requestID)" }
    for (name, value) in metadata.sorted(by: { $0.key < $1.key }) { line += " \(name)=\(value)" }
    // One event, one line: nothing in a value may begin a line of its own.
    var bytes = line.utf8.map { $0 < 0x20 ? UInt8(ascii: " ") : $0 }
    bytes.append(0x0A)
    return bytes
  }
}
