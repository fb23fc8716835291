/// Where large DATA frames go straight to, without a copy inside nghttp2.
package protocol HTTP2DataSink: AnyObject {
  /// Takes a frame: its header and payload, valid during the call. Called from within `nextOutput`; must not call the
  /// session.
  ///
  /// - Returns: whether there is room for more; otherwise `nextOutput` returns nil.
  func takeData(_ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer) -> Bool
}
