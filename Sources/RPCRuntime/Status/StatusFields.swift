import HTTP2Session
import WireCodec

/// A call's outcome as fields of the trailers, in both directions.
///
/// Spec: gRPC over HTTP/2, "Responses".
enum StatusFields {
  private static let numbers: [StaticString] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
  ]

  static func write(_ code: StatusCode, to fields: inout HTTP2FieldList) {
    if code.isCanonical {
      fields.append("grpc-status", numbers[Int(code.rawValue)])
    } else {
      fields.append("grpc-status", String(code.rawValue))
    }
  }

  static func write(_ error: RPCError, to fields: inout HTTP2FieldList) {
    write(error.code, to: &fields)
    if !error.message.isEmpty { fields.append("grpc-message", PercentCoding.encode(error.message)) }
    guard !error.details.isEmpty else { return }
    fields.append("grpc-status-details-bin", HeaderBase64.encode(StatusDetails(error).wireBytes()))
  }

  /// As much of a message as the section has room for.
  static func write(message: String, to fields: inout HTTP2FieldList, atMost limit: Int) {
    let room = limit - fields.sectionSize - "grpc-message".utf8.count - 32
    let encoded = PercentCoding.encode(message)
    if encoded.count <= room {
      if !encoded.isEmpty { fields.append("grpc-message", encoded) }
    } else if let cut = cut(message, to: room - 5) {  // "...", and two more for a space at the beginning
      fields.append("grpc-message", PercentCoding.encode(cut + "..."))
    }
  }

  /// The beginning of a text that takes no more than so many bytes when it is encoded; nil when that is nothing.
  private static func cut(_ text: String, to room: Int) -> String? {
    var left = room
    let kept = text.unicodeScalars.prefix { scalar in
      let isPlain = scalar.value >= 0x20 && scalar.value <= 0x7e && scalar != "%"
      left -= isPlain ? 1 : 3 * UTF8.width(scalar)
      return left >= 0
    }
    return kept.isEmpty ? nil : String(kept)
  }

  /// The outcome that a section of fields carries; nil when it has no `grpc-status`.
  ///
  /// - Returns: the code and, unless it is OK, the whole error.
  static func read(_ block: HTTP2HeaderBlock) -> Outcome? {
    guard let text = block.first("grpc-status") else { return nil }
    if text.equals("0") { return .ok }
    guard let code = number(text) else {
      return .failed(RPCError(.unknown, "the server's grpc-status is not a number"))
    }
    var error = RPCError(StatusCode(rawValue: code), "")
    if let message = block.first("grpc-message") { error.message = PercentCoding.decode(message) }
    if let encoded = block.first("grpc-status-details-bin"), let bytes = HeaderBase64.decode(encoded),
      let details = try? StatusDetails(wire: bytes)
    {
      error.details = details.details
    }
    return code == 0 ? .ok : .failed(error)
  }

  enum Outcome {
    case ok
    case failed(RPCError)
  }

  private static func number(_ text: UnsafeRawBufferPointer) -> Int32? {
    guard !text.isEmpty, text.count <= 9 else { return nil }
    var value: Int32 = 0
    for byte in text {
      guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
      value = value * 10 + Int32(byte - UInt8(ascii: "0"))
    }
    return value
  }
}
