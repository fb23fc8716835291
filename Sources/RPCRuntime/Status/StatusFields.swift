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
