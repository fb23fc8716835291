import CivilTime
import Logging
import ServiceKit
import StrictJSON
import Synchronization
import Testing

@Suite("Logging")
struct LoggingTests {
  private final class Lines: Sendable {
    let all = Mutex<[[UInt8]]>([])
    func add(_ line: [UInt8]) { all.withLock { $0.append(line) } }
    var first: [UInt8] { all.withLock { $0[0] } }
  }

  private func logger(_ lines: Lines, format: LogFormat = .json) -> Logger {
    Logger(label: "mailer") { label in
      ServiceLogHandler(
        label: label, service: "mailer", level: .info, format: format,
        now: { Timestamp(rfc3339: "2026-11-22T10:39:00.123Z")! }, write: lines.add)
    }
  }

  @Test("A line is one JSON object with the context and the metadata")
  func json() throws {
    let lines = Lines()
    let context = LogContext(
      requestID: "r-1", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    LogContext.$current.withValue(context) {
      logger(lines).warning("lease \"lapsed\"\n", metadata: ["attempts": .stringConvertible(3), "time": "not mine"])
    }
    #expect(lines.first.last == 0x0A)
    #expect(
      String(decoding: lines.first, as: UTF8.self) == """
        {"time":"2026-11-22T10:39:00.123Z","level":"warning","message":"lease \\"lapsed\\"\\n","service":"mailer",\
        "request_id":"r-1","trace_id":"0af7651916cd43dd8448eb211c80319c","attempts":3}

        """)
  }

  @Test("Values keep their kinds, whole and nested ones too; what a line says by itself no metadata says otherwise")
  func kinds() {
    let lines = Lines()
    logger(lines).notice(
      "m",
      metadata: [
        "b": .stringConvertible(true), "d": .stringConvertible(0.5), "level": "mine", "list": .array(["x", "1"]),
        "n": .stringConvertible(UInt64.max), "service": "mine", "tree": .dictionary(["z": "1", "a": .array([])]),
      ])
    #expect(
      String(decoding: lines.first, as: UTF8.self) == """
        {"time":"2026-11-22T10:39:00.123Z","level":"notice","message":"m","service":"mailer","b":true,"d":0.5,\
        "list":["x","1"],"n":9223372036854775807,"tree":{"a":[],"z":"1"}}

        """)
  }

  @Test("In text no value can begin a line of its own")
  func text() {
    let lines = Lines()
    logger(lines, format: .text).error("failed", metadata: ["error": "a\nb"])
    #expect(String(decoding: lines.first, as: UTF8.self) == "2026-11-22T10:39:00.123Z ERROR failed error=a b\n")
  }

  @Test(
    "A trace id is taken from a well-formed traceparent only",
    arguments: [
      ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
      ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
      ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false), ("garbage", false), ("", false),
      ("0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
      ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
      ("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", false),
      ("00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", false),
    ])
  func traceparents(text: String, valid: Bool) {
    #expect((LogContext(traceparent: text).traceID != nil) == valid)
  }
}
