/// How far a call has come on the server, as a value: each input says what the owner has to do.
///
/// Three things end independently of each other: the request, the handler, the stream. The call's memory may be used
/// again when the handler and the stream are both done.
struct ServerCallState: Equatable {
  enum Request: Equatable { case receiving, complete }
  enum Handler: Equatable { case notStarted, running, done }
  enum Response: Equatable { case idle, open, ended }

  let kind: MethodKind
  private(set) var request = Request.receiving
  private(set) var handler = Handler.notStarted
  private(set) var response = Response.idle
  private(set) var isStreamOpen = true

  init(kind: MethodKind) { self.kind = kind }

  /// Neither the handler nor the stream will touch the call again.
  var isReleasable: Bool { handler != .running && !isStreamOpen }

  /// Whether the call is unanswered and more of its request may come.
  var isReceiving: Bool { request == .receiving && response != .ended }

  var takesOneRequest: Bool { kind == .unary || kind == .serverStreaming }

  // MARK: Inputs

  enum StartAction: Equatable { case start, wait }

  /// The request's headers are accepted. A method that takes one request starts when it is complete; the others at once.
  mutating func requestAccepted() -> StartAction {
    guard !takesOneRequest else { return .wait }
    handler = .running
    return .start
  }

  enum EndAction: Equatable {
    case start
    case endInbox
    /// A method that takes one request was sent another number of them.
    case refuse(RPCCardinality)
    case ignore
  }

  enum RPCCardinality: Equatable { case none, many, cut }

  /// The client has sent everything.
  mutating func requestEnded(messages: Int, isMidMessage: Bool) -> EndAction {
    guard request == .receiving else { return .ignore }
    request = .complete
    guard response != .ended else { return .ignore }
    if isMidMessage { return .refuse(.cut) }
    guard takesOneRequest, handler == .notStarted else { return .endInbox }
    guard messages == 1 else { return .refuse(messages == 0 ? .none : .many) }
    handler = .running
    return .start
  }

  enum WriteAction: Equatable { case headersFirst, body, drop }

  /// The handler sends its headers or a message.
  mutating func responded() -> WriteAction {
    guard isStreamOpen else { return .drop }
    switch response {
    case .idle:
      response = .open
      return .headersFirst
    case .open: return .body
    case .ended: return .drop
    }
  }

  enum FinishAction: Equatable { case trailersOnly, trailers, nothing }

  /// The call's status is decided: by the handler's end, its deadline, a bad request, the drain.
  mutating func finished() -> FinishAction {
    let before = response
    response = .ended
    guard isStreamOpen else { return .nothing }
    switch before {
    case .idle: return .trailersOnly
    case .open: return .trailers
    case .ended: return .nothing
    }
  }

  /// The handler has returned.
  mutating func handlerEnded() { handler = .done }

  enum CloseAction: Equatable {
    /// The client is gone before the answer: the handler works for nobody.
    case cancelHandler
    /// The call ended before a handler was started.
    case record
    case nothing
  }

  /// The stream is gone: by our trailers, by the client's reset, with the connection.
  mutating func streamClosed() -> CloseAction {
    guard isStreamOpen else { return .nothing }
    isStreamOpen = false
    request = .complete
    let before = response
    response = .ended
    guard before != .ended else { return .nothing }
    return handler == .running ? .cancelHandler : .record
  }
}
