import EventLoop
import HTTP2Session
import TLSSession
import Transport

extension RPCConnection {
  func report(_ limits: ReportLimits, now: Instant) -> ConnectionReport {
    let streams = session.streams.filter { $0.id > 0 && $0.owner != nil }.sorted { $0.id < $1.id }
    let identity = transport.peerIdentity
    return ConnectionReport(
      peer: transport.peer.description, identity: identity.map { $0.spiffeID ?? $0.subject }, isTLS: transport.isTLS,
      state: reportedState, age: now - openedAt, quietFor: max(.zero, now - lastReceivedAt),
      sentBytes: transport.sentBytes, receivedBytes: receivedBytes, sendWindow: session.sendWindow,
      receiveWindow: session.receiveWindow, unsentBytes: transport.bufferedBytes, keepalive: keepaliveReport(now: now),
      streamCount: streams.count, streams: streams.prefix(limits.streams).compactMap { report($0, now: now) })
  }

  private var reportedState: ConnectionReport.State {
    if session.isShuttingDown || session.receivedGoAway { return .draining }
    return transport.isOpen ? .open : .starting
  }

  private func report(_ stream: HTTP2Stream, now: Instant) -> StreamReport? {
    guard let call = stream.owner as? CallStream else { return nil }
    let about = call.about
    return StreamReport(
      id: stream.id, method: about.method, age: max(.zero, now - about.startedAt),
      timeLeft: about.deadline.map { max(.zero, $0 - now) }, sendWindow: session.sendWindow(of: stream),
      receiveWindow: session.receiveWindow(of: stream), unsentBytes: stream.pendingBytes,
      unreadMessages: call.inbox.readyCount, sentBytes: call.sentBytes, receivedBytes: call.inbox.receivedBytes)
  }
}
