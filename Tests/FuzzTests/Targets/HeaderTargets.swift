import EventLoop
import HTTP2Session
@testable import RPCRuntime
import WireCodec

extension FuzzTarget {
  /// Values of single fields: `grpc-message`, `grpc-timeout`, `-bin`, `grpc-accept-encoding`, status details.
  static let headers = FuzzTarget(name: "headers") { bytes in
    let text = PercentCoding.decode(bytes)
    try checkPercentCoding(text, PercentCoding.encode(text))
    if let timeout = TimeoutHeader.parse(bytes) {
      let written = TimeoutHeader.format(timeout)
      guard let again = TimeoutHeader.parse(written) else { throw FuzzFault("a time-out is written wrongly") }
      try require(again <= max(timeout, .nanoseconds(1)), "a time-out grew on its way")
      // What no clock of ours counts (292 years) is cut to what it does.
      let counted = min(timeout, .nanoseconds(Int64.max))
      try require(counted - again <= counted / 1000 + .nanoseconds(1), "a time-out lost more than its last digits")
    }
    _ = MessageEncoding.listsGzip(bytes)
    _ = RequestHead.isGRPC(bytes)
    if let decoded = HeaderBase64.decode(bytes) {
      let encoded = HeaderBase64.encode(decoded)
      try require(encoded.count == HeaderBase64.encodedCount(decoded.count), "base64 has another size than foretold")
      try require(HeaderBase64.decode(encoded) == decoded, "base64 is read differently the second time")
      if let status = try? StatusDetails(wire: decoded) { try check(RPCError(status)) }
    }
    if let status = try? StatusDetails(wire: bytes) { try check(RPCError(status)) }
    var metadata = Metadata()
    let colon = bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.count
    let value = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(colon + 1))
    _ = metadata.appendReceived(name: UnsafeRawBufferPointer(rebasing: bytes[..<colon]), value: value)
    for entry in metadata.entries {
      try require(entry.name.isBinary || !entry.name.rawValue.dropFirst().hasSuffix("-bin"), "a name of the other kind")
    }
  }

  static func checkPercentCoding(_ text: String, _ encoded: [UInt8]) throws {
    try require(encoded.allSatisfy { 0x20...0x7e ~= $0 }, "a message has characters that no field may have")
    try require(PercentCoding.decode(encoded).utf8.elementsEqual(text.utf8), "a message is read differently again")
  }

  private static func check(_ error: RPCError) throws {
    _ = (error.errorInfo, error.badRequest, error.retryInfo, error.quotaFailure)
    let again = try RPCError(StatusDetails(wire: StatusDetails(error).wireBytes()))
    try require(again.code == error.code && again.details == error.details, "details changed on their way")
  }

  /// A call over two sessions, its fields made of the input: what one side says the other hears, unless it is refused.
  static let calls = FuzzTarget(name: "calls") { bytes in
    var input = FuzzInput(bytes)
    var request = HTTP2FieldList()
    request.append(":method", "POST")
    request.append(":scheme", "http")
    request.append(":path", "/s/m")
    request.append("content-type", "application/grpc")
    let sent = metadata(&input)
    sent.write(to: &request)
    for _ in 0..<(input.byte() & 3) {
      // As a stranger would write them.
      let name = [UInt8](names[Int(input.byte()) % names.count].utf8)
      request.append(name: name, value: input.block())
    }
    let error = RPCError(
      StatusCode(rawValue: Int32(input.byte() % 16) + 1), String(decoding: input.block(), as: UTF8.self),
      details: (try? StatusDetails(wire: input.rest[...].map { $0 }))?.details ?? [])

    let client = HTTP2Session(role: .client, now: 1)
    let server = HTTP2Session(role: .server, now: 1)
    guard client.submitRequest(request, endStream: true, owner: nil) != nil else { return }
    try move(from: client, to: server)
    while let event = server.nextEvent() {
      guard case .headers(let stream, let block) = event else { continue }
      let head = try? RequestHead(block)
      let received = Metadata(block)
      try require(
        received.entries.starts(with: sent.entries), "metadata \(sent.entries) came as \(received.entries)")
      var answer = HTTP2FieldList()
      answer.append(":status", "200")
      received.write(to: &answer)
      server.submitResponse(stream, answer, endStream: false)
      var trailers = HTTP2FieldList()
      StatusFields.write(error, to: &trailers)
      server.end(stream, trailers: trailers)
      try move(from: server, to: client)
      try readAnswer(client, received, error, timeout: head?.timeout)
      return
    }
  }

  private static func readAnswer(_ client: HTTP2Session, _ sent: Metadata, _ error: RPCError, timeout: Duration?) throws
  {
    var outcome: StatusFields.Outcome?
    while let event = client.nextEvent() {
      guard case .headers(_, let block) = event else { continue }
      if block.kind == .trailers {
        outcome = StatusFields.read(block)
      } else {
        try require(Metadata(block) == sent, "metadata \(sent.entries) came back as \(Metadata(block).entries)")
      }
    }
    // Above the limit of a field section the client refuses the answer.
    let size = PercentCoding.encode(error.message).count + StatusDetails(error).wireBytes().count * 4 / 3
    guard size < 4096, sent.encodedSize < 8192 else { return }
    guard case .failed(let heard)? = outcome else { throw FuzzFault("the outcome of a call was not heard") }
    try require(
      heard.code == error.code && heard.message.utf8.elementsEqual(error.message.utf8)
        && heard.details == error.details, "\(error) was heard as \(heard)")
  }

  private static let names = [
    "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "x-a", "x-a-bin", "te", "user-agent", "grpc-previous",
  ]

  /// What our own API allows to send.
  private static func metadata(_ input: inout FuzzInput) -> Metadata {
    var metadata = Metadata()
    for index in 0..<Int(input.byte() & 3) {
      let value = input.block()
      if let name = Metadata.Name("k\(index)-bin") { try? metadata.append(name, binary: value) }
      if let name = Metadata.Name("k\(index)") { try? metadata.append(name, String(decoding: value, as: UTF8.self)) }
    }
    return metadata
  }

  private static func move(from one: HTTP2Session, to other: HTTP2Session) throws {
    while let chunk = try one.nextOutput() { try other.receive(chunk, now: 1) }
  }
}
