import HTTP2Session
import Testing

@testable import RPCRuntime

@Suite("How far a call has come")
struct CallStateTests {
  @Test("A unary handler starts when its one request is complete")
  func unaryStart() {
    var state = ServerCallState(kind: .unary)
    #expect(state.requestAccepted() == .wait)
    #expect(state.requestEnded(messages: 1, isMidMessage: false) == .start)
    #expect(state.requestEnded(messages: 1, isMidMessage: false) == .ignore)
  }

  @Test("A method that takes one request refuses none, several and a cut one")
  func cardinality() {
    for (messages, isCut, refusal) in [
      (0, false, ServerCallState.RPCCardinality.none), (2, false, .many), (0, true, .cut), (1, true, .cut),
    ] {
      var state = ServerCallState(kind: .serverStreaming)
      _ = state.requestAccepted()
      #expect(state.requestEnded(messages: messages, isMidMessage: isCut) == .refuse(refusal))
    }
  }

  @Test("A streaming handler starts at once and sees the end of the requests")
  func streamingStart() {
    var state = ServerCallState(kind: .bidirectional)
    #expect(state.requestAccepted() == .start)
    #expect(state.requestEnded(messages: 0, isMidMessage: false) == .endInbox)
  }

  @Test("Headers go before the first message only; without messages the status goes with them")
  func responses() {
    var state = ServerCallState(kind: .serverStreaming)
    #expect(state.responded() == .headersFirst)
    #expect(state.responded() == .body)
    #expect(state.finished() == .trailers)
    #expect(state.finished() == .nothing)
    #expect(state.responded() == .drop)
    var silent = ServerCallState(kind: .unary)
    #expect(silent.finished() == .trailersOnly)
  }

  @Test("A stream that goes while the handler runs cancels it; the call is free when both are done")
  func release() {
    var state = ServerCallState(kind: .bidirectional)
    _ = state.requestAccepted()
    #expect(state.streamClosed() == .cancelHandler)
    #expect(!state.isReleasable)
    #expect(state.finished() == .nothing)
    state.handlerEnded()
    #expect(state.isReleasable)
    var done = ServerCallState(kind: .unary)
    _ = done.requestAccepted()
    _ = done.requestEnded(messages: 1, isMidMessage: false)
    _ = done.responded()
    _ = done.finished()
    done.handlerEnded()
    #expect(!done.isReleasable)
    #expect(done.streamClosed() == .nothing)
    #expect(done.isReleasable)
  }

  @Test("An unprocessed attempt is repeated once, and never after an answer or without its messages")
  func transparentRetry() {
    var state = ClientCallState()
    state.opened()
    #expect(state.streamClosed(.refusedStream, neverSent: false, canReplay: true) == .reopen)
    state.opened()
    #expect(state.streamClosed(.refusedStream, neverSent: false, canReplay: true) == .fail)
    var answered = ClientCallState()
    answered.opened()
    answered.responded()
    #expect(answered.streamClosed(.refusedStream, neverSent: false, canReplay: true) == .fail)
    var forgotten = ClientCallState()
    forgotten.opened()
    #expect(forgotten.streamClosed(.refusedStream, neverSent: false, canReplay: false) == .fail)
    var lost = ClientCallState()
    lost.opened()
    #expect(lost.streamClosed(.internalError, neverSent: false, canReplay: true) == .fail)
  }

  @Test("An attempt that never left is repeated as often as needed")
  func neverSent() {
    var state = ClientCallState()
    for _ in 0..<10 {
      state.opened()
      #expect(state.streamClosed(.refusedStream, neverSent: true, canReplay: true) == .reopen)
    }
  }

  @Test("An attempt that is left is followed by another when its stream is gone")
  func leaving() {
    var state = ClientCallState()
    state.opened()
    let tells = state.leave(isComplete: false)
    #expect(tells)
    let tellsAgain = state.leave(isComplete: false)
    #expect(!tellsAgain)
    #expect(state.streamClosed(.cancel, neverSent: false, canReplay: true) == .left)
    state.opened()
    let tellsNothing = state.leave(isComplete: true)
    #expect(!tellsNothing)
    #expect(state.ended(isComplete: true) == .nothing)
    #expect(state.streamClosed(.noError, neverSent: false, canReplay: true) == .nothing)
  }

  @Test("An attempt that is left is followed by none without its messages")
  func leavingWithoutReplay() {
    var state = ClientCallState()
    state.opened()
    _ = state.leave(isComplete: false)
    #expect(state.streamClosed(.cancel, neverSent: false, canReplay: false) == .fail)
  }

  @Test("An ended call tells the server only when it has to")
  func clientEnd() {
    var waiting = ClientCallState()
    #expect(waiting.ended(isComplete: true) == .leaveQueue)
    var open = ClientCallState()
    open.opened()
    _ = open.requestEnded()  // which may still wait behind data
    #expect(open.ended(isComplete: false) == .reset)
    var complete = ClientCallState()
    #expect(complete.requestEnded() == false)
    complete.opened()
    #expect(complete.ended(isComplete: true) == .release)
    #expect(complete.ended(isComplete: true) == .nothing)
  }
}

@Suite("Targets")
struct ChannelTargetTests {
  @Test(
    "Targets in gRPC's name syntax",
    arguments: [
      ("dns:///localhost:7001", "localhost:7001"), ("dns:host:80", "host:80"), ("host:80", "host:80"),
      ("ipv4:1.2.3.4:5,6.7.8.9:10", "1.2.3.4:5"), ("ipv6:[::1]:80", "[::1]:80"), ("unix:/run/a.sock", "localhost"),
      ("unix:///run/a.sock", "localhost"), ("dns:///host", "host"), ("unix-abstract:a", "localhost"),
      ("ipv6:[fe80::1%25lo]:80", "[fe80::1]:80"), ("ipv6:[fe80::1%lo]:80", "[fe80::1]:80"),
      ("dns:///[fe80::1%25lo]:80", "[fe80::1]:80"), ("[fe80::1%lo]", "[fe80::1]"),
    ])
  func targets(text: String, authority: String) throws {
    #expect(try ChannelTarget(text).authority == authority)
  }

  @Test(
    "Metrics name a target with its scheme",
    arguments: [
      ("host:80", "dns:///host:80"), ("dns:host:80", "dns:host:80"), ("dns:///host", "dns:///host"),
      ("ipv4:1.2.3.4:5,6.7.8.9:10", "ipv4:1.2.3.4:5,6.7.8.9:10"), ("unix:/run/a.sock", "unix:/run/a.sock"),
    ])
  func uris(text: String, uri: String) throws {
    #expect(try ChannelTarget(text).uri == uri)
  }

  @Test(
    "What is no target says so",
    arguments: [
      "", "dns://8.8.8.8/host:1", "ipv4:host:80", "ipv4:", "unix:", "unix://run/a.sock", "host:99999", "ipv4:1.2.3.4:0",
      "host:0", "ipv6:[fe80::1%25]:80", "ipv6:[fe80::1%no-such]:80", "ipv4:1.2.3.4%lo:80", "unix-abstract:",
      "unix-abstract:a\0b",
    ])
  func badTargets(text: String) {
    let error = #expect(throws: RPCError.self) { try ChannelTarget(text) }
    #expect(error?.code == .invalidArgument)
  }

  @Test(
    "A link-local address is reached by its interface",
    arguments: [("%25lo", "%lo"), ("%lo", "%lo"), ("%1", "%1"), ("%251", "%1")])
  func interface(text: String, zone: String) throws {
    guard case .addresses(let addresses) = try ChannelTarget("ipv6:[fe80::1\(text)]:80").kind else {
      Issue.record("no addresses")
      return
    }
    #expect(addresses.map(\.description) == ["[fe80::1%1]:80"])
    #expect(try ChannelTarget("[fe80::1\(text)]:80").kind == .name(host: "fe80::1\(zone)", port: 80))
  }

  @Test("An error tells each thing once", arguments: ["foo:///host:1", "host:99999"])
  func errorText(text: String) {
    let error = #expect(throws: RPCError.self) { try ChannelTarget(text) }
    let words = error.map { "\($0)" } ?? ""
    #expect(words == "INVALID_ARGUMENT: \(error?.message ?? "")" && !words.contains("IPv6"))
  }
}
