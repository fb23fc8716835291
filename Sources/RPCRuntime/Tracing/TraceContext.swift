/// Where a piece of work stands in a trace: the trace's id, its own span's id, and whether the trace is kept.
///
/// Spec: W3C Trace Context, https://www.w3.org/TR/trace-context/
public struct TraceContext: Sendable, Hashable {
  /// Never zero.
  public let traceID: UInt128
  /// Never zero.
  public let spanID: UInt64
  /// Whether whoever began the trace wants it kept.
  public let isSampled: Bool

  public init(traceID: UInt128, spanID: UInt64, isSampled: Bool) {
    self.traceID = traceID
    self.spanID = spanID
    self.isSampled = isSampled
  }

  /// Reads a `traceparent`; nil when it is malformed, and then to be ignored together with its `tracestate`.
  public init?(traceparent text: String) {
    var text = text
    let parsed = text.withUTF8 { Self(UnsafeRawBufferPointer($0)) }
    guard let parsed else { return nil }
    self = parsed
  }

  /// `00-` 32 digits `-` 16 digits `-` 2 digits; a later version may have more behind a further dash.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= 55, bytes[2] == Self.dash, bytes[35] == Self.dash, bytes[52] == Self.dash,
      let version = Self.number(bytes[0..<2]), version != 0xff,
      bytes.count == 55 || version != 0 && bytes[55] == Self.dash,
      let high = Self.number(bytes[3..<19]), let low = Self.number(bytes[19..<35]),
      let span = Self.number(bytes[36..<52]), let flags = Self.number(bytes[53..<55])
    else { return nil }
    let trace = UInt128(high) << 64 | UInt128(low)
    guard trace != 0, span != 0 else { return nil }
    self.init(traceID: trace, spanID: span, isSampled: flags & 1 == 1)
  }

  private static let dash = UInt8(ascii: "-")

  /// Up to 16 digits, lower case only.
  private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt64? {
    var value: UInt64 = 0
    for digit in digits {
      switch digit {
      case 0x30...0x39: value = value << 4 | UInt64(digit - 0x30)
      case 0x61...0x66: value = value << 4 | UInt64(digit - 0x61 + 10)
      default: return nil
      }
    }
    return value
  }

  /// As it travels.
  public var traceparent: String { "00-\(traceIDText)-\(Self.text(spanID))-\(isSampled ? "01" : "00")" }

  /// 32 digits, as logs and exporters write it.
  public var traceIDText: String {
    Self.text(UInt64(truncatingIfNeeded: traceID >> 64)) + Self.text(UInt64(truncatingIfNeeded: traceID))
  }

  /// 16 digits.
  public static func text(_ id: UInt64) -> String {
    let digits = String(id, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }
}

extension Metadata.Name {
  static let traceparent: Self = "traceparent"
  static let tracestate: Self = "tracestate"
}
