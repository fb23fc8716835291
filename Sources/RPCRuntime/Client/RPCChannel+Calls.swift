extension RPCChannel {
  /// Calls a method that takes one request and gives one answer.
  ///
  /// Cancelling the task cancels the call, here and at the server.
  /// - Throws: the call's outcome when it is not OK.
  public func call<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, options: CallOptions = CallOptions()
  ) async throws(RPCError) -> Response {
    try await unary(method, request, options: options).message
  }

  /// As `call`, and gives the metadata of the answer too.
  public func unary<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, options: CallOptions = CallOptions()
  ) async throws(RPCError) -> UnaryResponse<Response> {
    let prepared = try prepare(method.descriptor, options)
    let call: ClientCall
    if let policy = settings(of: method.descriptor).hedging {
      call = try await HedgedCall(prepared, policy, on: self) { $0.send(request, compress: true) }.run()
    } else {
      call = ClientCall(channel: self, prepared)
      if call.compresses { try await call.sendCompressed(request) } else { call.send(request, compress: false) }
      call.finishWriting()
      submit(call)
    }
    let message: Response = try await call.onlyResponse()
    return UnaryResponse(
      message: message, initialMetadata: call.initialMetadata ?? Metadata(), trailers: call.trailers,
      isCompressed: call.tookCompressed)
  }

  /// Calls a method that answers with a stream.
  ///
  /// The call lives as long as somebody holds what is returned; letting go of it before the end cancels the call.
  public func call<Request, Response>(
    _ method: ServerStreamingMethod<Request, Response>, _ request: Request, options: CallOptions = CallOptions()
  ) throws(RPCError) -> ServerStreamingCall<Response> {
    let call = try makeCall(method.descriptor, options)
    call.send(request, compress: true)
    call.finishWriting()
    submit(call)
    return ServerStreamingCall(call: call, guardian: CallGuardian(call))
  }

  /// Calls a method that takes a stream: write, then `finish()` for the answer.
  ///
  /// The call lives as long as somebody holds what is returned; letting go of it before the end cancels the call.
  public func call<Request, Response>(
    _ method: ClientStreamingMethod<Request, Response>, options: CallOptions = CallOptions()
  ) throws(RPCError) -> ClientStreamingCall<Request, Response> {
    let call = try makeCall(method.descriptor, options)
    submit(call)
    return ClientStreamingCall(call: call, guardian: CallGuardian(call))
  }

  /// Calls a method that takes and gives streams.
  ///
  /// The call lives as long as somebody holds what is returned; letting go of it before the end cancels the call.
  public func call<Request, Response>(
    _ method: BidirectionalMethod<Request, Response>, options: CallOptions = CallOptions()
  ) throws(RPCError) -> BidirectionalCall<Request, Response> {
    let call = try makeCall(method.descriptor, options)
    submit(call)
    return BidirectionalCall(call: call, guardian: CallGuardian(call))
  }
}

/// Ends a call that nobody holds any more.
final class CallGuardian {
  private let call: ClientCall
  init(_ call: ClientCall) { self.call = call }
  deinit { call.end(RPCError(.cancelled, "the call was let go")) }
}
