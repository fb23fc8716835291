internal import EventLoop
internal import RPCRuntime
internal import StrictJSON

/// The admin port's page about RPC, `/rpc` as lines of text and `/rpc.json`: one tree, written in two ways.
struct RPCPage {
  enum Format { case text, json }

  let format: Format

  /// Nil when the path is another page's.
  init?(path: String) {
    switch path {
    case "/rpc": format = .text
    case "/rpc.json": format = .json
    default: return nil
    }
  }

  /// - Parameter loops: nil for one that did not answer.
  func answer(_ loops: [LoopReport?]) -> AdminRoutes.Answer {
    let tree = RPCTree.node(loops)
    return switch format {
    case .json: AdminRoutes.Answer(status: 200, contentType: "application/json", body: tree.json.encoded())
    case .text:
      AdminRoutes.Answer(status: 200, contentType: "text/plain; charset=utf-8", body: Array(tree.text.utf8))
    }
  }
}

/// Things with fields, and things inside them.
struct RPCNode {
  /// What each is called in text, and its plural in JSON.
  var kind: (one: String, many: String)
  /// What it may have inside, so that JSON has an empty list where there is nothing.
  var lists: [String]
  var fields: [(name: String, value: JSONValue)] = []
  var children: [RPCNode] = []

  init(_ one: String, _ many: String, lists: [String] = []) {
    kind = (one, many)
    self.lists = lists
  }

  /// Adds a field; nothing for nil.
  mutating func add(_ name: String, _ value: JSONValue?) {
    if let value { fields.append((name, value)) }
  }

  mutating func add(_ name: String, _ value: String?) { add(name, value.map { .string($0) }) }
  mutating func add(_ name: String, _ value: Int) { add(name, .number(JSONNumber(value))) }

  /// In seconds, to a thousandth.
  mutating func add(_ name: String, _ value: Duration?) {
    add("\(name)_s", value.flatMap { JSONNumber(($0.inSeconds * 1_000).rounded() / 1_000) }.map { .number($0) })
  }

  var json: JSONValue {
    var object = JSONObject()
    for field in fields { object[field.name] = field.value }
    for list in lists { object[list] = .array(children.filter { $0.kind.many == list }.map(\.json)) }
    return .object(object)
  }

  /// A line for each thing, indented under what it belongs to: `connection peer=10.0.0.7:41000 age_s=12.5 …`.
  var text: String {
    var lines = ""
    write(to: &lines, depth: 0)
    return lines
  }

  private func write(to lines: inout String, depth: Int) {
    lines += String(repeating: "  ", count: depth) + kind.one
    for field in fields { lines += " \(field.name)=\(Self.word(field.value))" }
    lines += "\n"
    for child in children { child.write(to: &lines, depth: depth + 1) }
  }

  /// As JSON writes it, but a string without spaces needs no quotes.
  private static func word(_ value: JSONValue) -> String {
    if case .string(let text) = value, !text.isEmpty, text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x22 && $0 != 0x7F }) {
      return text
    }
    return String(decoding: value.encoded(), as: UTF8.self)
  }
}

/// Reports as a tree.
enum RPCTree {
  static func node(_ loops: [LoopReport?]) -> RPCNode {
    var node = RPCNode("rpc", "rpc", lists: ["loops"])
    node.add("loops_total", loops.count)
    node.children = loops.enumerated().map { index, report in
      var node = RPCNode("loop", "loops", lists: ["servers", "channels"])
      node.add("index", index)
      node.add("answers", .bool(report != nil))
      node.children = (report?.servers ?? []).map(server) + (report?.channels ?? []).map(channel)
      return node
    }
    return node
  }

  private static func server(_ report: ServerReport) -> RPCNode {
    var node = RPCNode("server", "servers", lists: ["connections"])
    node.add("listening", report.addresses.joined(separator: ","))
    node.add("draining", .bool(report.isDraining))
    node.add("calls", report.runningCalls)
    node.add("queued", report.queuedCalls)
    node.add("call_limit", report.callLimit)
    node.add("shed", report.shedCalls)
    node.add("connections_total", report.connectionCount)
    node.children = report.connections.map { connection($0) }
    return node
  }

  private static func channel(_ report: ChannelReport) -> RPCNode {
    var node = RPCNode("channel", "channels", lists: ["subchannels", "draining"])
    node.add("target", report.target)
    node.add("state", report.state)
    node.add("balancing", report.balancing)
    node.add("waiting", report.waitingCalls)
    node.add("retry_tokens", JSONNumber(report.retryTokens).map { .number($0) })
    node.add("max_retry_tokens", JSONNumber(report.maxRetryTokens).map { .number($0) })
    node.add("next_attempt_in", report.nextAttemptIn)
    node.add("last_failure", report.lastFailure)
    node.add("subchannels_total", report.subchannelCount)
    node.children = report.subchannels.map(subchannel) + report.draining.map { connection($0, "draining") }
    return node
  }

  private static func subchannel(_ report: SubchannelReport) -> RPCNode {
    var node = RPCNode("subchannel", "subchannels", lists: ["connections"])
    node.add("address", report.address)
    node.add("state", report.state)
    node.add("serving", report.isServing.map { .bool($0) })
    node.add("ejected", .bool(report.isEjected))
    node.add("next_attempt_in", report.nextAttemptIn)
    node.children = [report.connection].compactMap { $0.map { connection($0) } }
    return node
  }

  private static func connection(_ report: ConnectionReport, _ kind: String = "connection") -> RPCNode {
    var node = RPCNode(kind, kind == "connection" ? "connections" : kind, lists: ["streams"])
    node.add("peer", report.peer)
    node.add("identity", report.identity)
    node.add("tls", .bool(report.isTLS))
    node.add("state", report.state.rawValue)
    node.add("age", report.age)
    node.add("quiet", report.quietFor)
    node.add("streams_total", report.streamCount)
    node.add("sent", report.sentBytes)
    node.add("received", report.receivedBytes)
    node.add("send_window", report.sendWindow)
    node.add("receive_window", report.receiveWindow)
    node.add("unsent", report.unsentBytes)
    switch report.keepalive {
    case .off: node.add("keepalive", "off")
    case .waiting: node.add("keepalive", "waiting")
    case .asleep: node.add("keepalive", "asleep")
    case .asking(let since):
      node.add("keepalive", "asking")
      node.add("asking_for", since)
    }
    node.children = report.streams.map(stream)
    return node
  }

  private static func stream(_ report: StreamReport) -> RPCNode {
    var node = RPCNode("stream", "streams")
    node.add("id", Int(report.id))
    node.add("method", report.method)
    node.add("age", report.age)
    node.add("time_left", report.timeLeft)
    node.add("sent", report.sentBytes)
    node.add("received", report.receivedBytes)
    node.add("send_window", report.sendWindow)
    node.add("receive_window", report.receiveWindow)
    node.add("unsent", report.unsentBytes)
    node.add("unread", report.unreadMessages)
    return node
  }
}
