/// Sees every call of a channel before it starts and after it has ended, in the order of registration.
public protocol ClientInterceptor {
  /// May change the options: add metadata, shorten the time. What it throws is the call's outcome.
  func prepare(_ method: MethodDescriptor, _ options: inout CallOptions) throws
  /// The call has ended.
  ///
  /// - Parameter error: nil for OK.
  func ended(_ method: MethodDescriptor, _ options: CallOptions, _ error: RPCError?, _ duration: Duration)
}

extension ClientInterceptor {
  public func ended(_ method: MethodDescriptor, _ options: CallOptions, _ error: RPCError?, _ duration: Duration) {}
}
