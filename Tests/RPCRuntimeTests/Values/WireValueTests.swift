import HTTP2Session
import Testing

@testable import RPCRuntime

@Suite("Values on the wire")
struct WireValueTests {
  @Test(
    "A timeout has one to eight digits and a unit",
    arguments: [
      ("1H", Duration.seconds(3600)), ("99999999S", .seconds(99_999_999)), ("5M", .seconds(300)),
      ("250m", .milliseconds(250)), ("7u", .microseconds(7)), ("0n", .zero), ("99999999H", .seconds(359_999_996_400)),
    ])
  func parseTimeout(text: String, expected: Duration) {
    #expect(TimeoutHeader.parse(Array(text.utf8)) == expected)
  }

  @Test("Anything else is no timeout", arguments: ["", "S", "1", "123456789S", "-1S", "1.5S", "1s", "１S", " 1S"])
  func refuseTimeout(text: String) {
    #expect(TimeoutHeader.parse(Array(text.utf8)) == nil)
  }

  @Test(
    "A timeout is sent in the finest unit that fits, never rounded up",
    arguments: [
      (Duration.nanoseconds(99_999_999), "99999999n"), (.nanoseconds(100_000_999), "100000u"),
      (.seconds(100), "100000m"), (.seconds(99_999_999), "99999999S"), (.seconds(100_000_000), "1666666M"),
      (.zero, "1n"), (.seconds(-5), "1n"),
    ])
  func formatTimeout(duration: Duration, text: String) {
    #expect(String(decoding: TimeoutHeader.format(duration), as: UTF8.self) == text)
  }

  @Test("What is formatted is read back as the same time or less, at most a hundred-thousandth less")
  func roundTrip() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<1000 {
      let nanoseconds = Int64.random(in: 1...Int64.max >> Int64.random(in: 0..<62), using: &generator)
      let sent = Duration.nanoseconds(nanoseconds)
      let read = TimeoutHeader.parse(TimeoutHeader.format(sent))!
      #expect(read <= sent)
      #expect(sent - read <= .nanoseconds(nanoseconds / 100_000))
    }
  }

  @Test(
    "A status message survives its coding",
    arguments: ["", "plain", "50 % of it", "naïve — “quoted”", "a\nb\u{0}", "日本語", " ", "  ", "not found: ", " x y "])
  func percentRoundTrip(text: String) {
    let encoded = PercentCoding.encode(text)
    #expect(encoded.allSatisfy { $0 >= 0x20 && $0 <= 0x7e })
    // A field's value must not begin or end with one.
    #expect(encoded.first != 0x20 && encoded.last != 0x20)
    #expect(PercentCoding.decode(encoded) == text)
  }

  @Test(
    "Bad percent coding is passed on, never an error",
    arguments: [("%", "%"), ("100%zz", "100%zz"), ("%4", "%4"), ("%ff", "\u{fffd}")])
  func percentLenient(encoded: String, decoded: String) {
    #expect(PercentCoding.decode(Array(encoded.utf8)) == decoded)
  }

  @Test("Binary values are written without padding and read with or without")
  func base64() {
    for count in 0..<70 {
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255) }
      let text = HeaderBase64.encode(bytes)
      #expect(!text.contains(UInt8(ascii: "=")))
      #expect(HeaderBase64.decode(text) == bytes)
      let padded = text + Array(repeating: UInt8(ascii: "="), count: (4 - text.count % 4) % 4)
      #expect(HeaderBase64.decode(padded) == bytes)
    }
  }

  @Test("What is not base64 is refused", arguments: ["a", "aaaaa", "a=", "aa=", "a*aa", "a aa", "====", "aa==aa"])
  func badBase64(text: String) {
    #expect(HeaderBase64.decode(Array(text.utf8)) == nil)
  }

  @Test(
    "RST_STREAM codes become statuses",
    arguments: [(7, 14), (8, 1), (11, 8), (12, 7), (0, 13), (1, 13), (2, 13), (99, 13)])
  func resets(code: UInt32, status: Int32) {
    #expect(StatusCode(streamReset: code).rawValue == status)
  }

  @Test(
    "A server that cancels a call at its deadline ends it for want of time",
    arguments: [(-5, 4), (0, 4), (2, 4), (3, 1)])
  func cancelledByTime(milliseconds: Int64, status: Int32) {
    #expect(StatusCode(streamReset: 8, timeLeft: .milliseconds(milliseconds)).rawValue == status)
    #expect(StatusCode(streamReset: 7, timeLeft: .milliseconds(milliseconds)) == .unavailable)
  }

  @Test(
    "HTTP statuses without a grpc-status become statuses",
    arguments: [
      (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2), (200, 2),
    ])
  func httpStatuses(http: Int, status: Int32) {
    #expect(StatusCode(httpStatus: http).rawValue == status)
  }

  @Test("Only gRPC with protobuf counts as gRPC")
  func contentTypes() {
    func isGRPC(_ text: String) -> Bool { Array(text.utf8).withUnsafeBytes { RequestHead.isGRPC($0) } }
    for type in ["application/grpc", "application/grpc+proto", "application/grpc;x=y", "application/grpc+proto; a=b"] {
      #expect(isGRPC(type))
    }
    for type in ["", "application/json", "application/grpc-web", "application/grpc+json", "application/grpcx"] {
      #expect(!isGRPC(type))
    }
  }

  @Test("An error carries its details there and back")
  func errorDetails() {
    let error = RPCError(
      .resourceExhausted, reason: "quota", domain: "emailmcp", "too fast",
      details: [
        RetryInfo(retryDelay: .milliseconds(1500)),
        QuotaFailure([.init(subject: "user:1", description: "60 a minute")]),
      ])
    #expect(error.errorInfo?.reason == "quota")
    #expect(error.retryInfo?.retryDelay == .milliseconds(1500))
    #expect(error.quotaFailure?.violations.first?.subject == "user:1")
    #expect(error.badRequest == nil)
  }

  /// Found by the official runtime's bytes: such a delay stopped the program when it was looked at or passed on.
  @Test(
    "A duration beyond what can be counted is cut, not fatal",
    arguments: [(Int64.max, Int32.max), (.max, 999_999_999), (.min, .min), (.min, -1), (.max - 1, .max)])
  func hugeDurations(_ seconds: Int64, _ nanos: Int32) {
    var received = ProtobufDuration()
    received.seconds = seconds
    received.nanos = nanos
    let passedOn = ProtobufDuration(received.duration)
    #expect(passedOn.seconds == (seconds < 0 ? .min : .max))
  }

  @Test("A message that is cut keeps within its room, also behind a space", arguments: ["", " "])
  func cutMessage(beginning: String) {
    var fields = HTTP2FieldList()
    StatusFields.write(message: beginning + String(repeating: "m", count: 200), to: &fields, atMost: 144)
    #expect(fields.sectionSize > 140 && fields.sectionSize <= 144)
  }
}
