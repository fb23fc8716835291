import HTTP2Session

/// What a call ends with.
extension ServerCall {
  /// The section that ends the call, no larger than the client takes: a larger one would be lost whole, and the code with
  /// it. What is too much goes in this order: the details, the end of the message, the metadata.
  ///
  /// - Parameter error: nil for OK, which becomes an error when the answer's metadata are too large: they are not left out
  ///   in silence.
  func closing(
    by action: ServerCallState.FinishAction, _ error: RPCError?, atMost limit: Int
  ) -> (fields: HTTP2FieldList, code: StatusCode) {
    var fields = beginning(of: action)
    if let error { StatusFields.write(error, to: &fields) } else { StatusFields.write(.ok, to: &fields) }
    writeMetadata(of: action, error, to: &fields)
    guard fields.sectionSize > limit else { return (fields, error?.code ?? .ok) }

    let lost = error ?? RPCError(.resourceExhausted, "the metadata of the answer are larger than the client takes")
    fields = beginning(of: action)
    StatusFields.write(lost.code, to: &fields)
    var whole = fields
    writeMetadata(of: action, lost, to: &whole)
    if whole.sectionSize <= limit { fields = whole }
    StatusFields.write(message: lost.message, to: &fields, atMost: limit)
    return (fields, lost.code)
  }

  private func beginning(of action: ServerCallState.FinishAction) -> HTTP2FieldList {
    guard action == .trailersOnly else { return HTTP2FieldList() }
    var fields = server.plainHeaders
    if announcesEncodings { fields.append("grpc-accept-encoding", MessageEncoding.acceptedText) }
    return fields
  }

  private func writeMetadata(
    of action: ServerCallState.FinishAction, _ error: RPCError?, to fields: inout HTTP2FieldList
  ) {
    if action == .trailersOnly { initialMetadata.write(to: &fields) }
    trailers.write(to: &fields)
    error?.trailers.write(to: &fields)
  }
}
