/// A call that may wait for its next attempt with nothing of it on a connection; the channel ends it when it closes.
protocol PausedCall: AnyObject {
  func end(_ error: RPCError)
}
