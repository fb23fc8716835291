import EventLoop
import Transport

@testable import MailerService

/// Stands where Gmail stands and does what a test says, down to closing the connection with the mail in hand.
final class ScriptedGmail {
  enum Reply {
    case success
    case status(Int, reason: String? = nil, headers: String = "", message: String = "")
    /// 200 without an id.
    case emptySuccess
    /// Takes the whole request and closes without a word.
    case close
    /// Takes the whole request and never answers.
    case silence
    /// Writes this and no more, and then closes or not.
    case head(String, closes: Bool)
    /// Answers as `success` only when `release` is called.
    case held
  }

  struct Request {
    var path: String
    var token: String
    var body: [UInt8]
    /// By lower-case name.
    var fields: [String: String] = [:]
  }

  private(set) var requests: [Request] = []
  /// Most requests that were open at the same time.
  private(set) var mostAtOnce = 0
  /// Connections that the other side closed.
  private(set) var hangUps = 0
  /// All that were made.
  var connectionCount: Int { connections.count }
  private var open = 0
  private var held: [() -> Void] = []
  private var heldWaiters: [Waiter<Void>] = []
  private var listener: Listener?
  private var port: HeldPort?
  private var connections: [ObjectIdentifier: Peer] = [:]
  private let reactor: Reactor
  var script: (Int, Request) -> Reply = { _, _ in .success }

  init(_ reactor: Reactor) { self.reactor = reactor }

  /// - Parameter port: nil for one of its own, which it keeps.
  func start(host: String = "127.0.0.1", port: UInt16? = nil) throws -> String {
    self.port = try port == nil ? HeldPort() : nil
    let address = try SocketAddress(numericHost: host, port: port ?? self.port?.number ?? 0)
    let listener = try Listener(on: reactor, address: address) {
      [weak self] in
      guard let self else { return $0.close() }
      let peer = Peer($0, self)
      $0.delegate = peer
      connections[ObjectIdentifier(peer)] = peer
    }
    self.listener = listener
    return "http://\(listener.address)"
  }

  func stop() {
    listener?.close()
    for peer in connections.values { peer.connection.close() }
  }

  /// Refuses new connections from now on. The port is kept: another test's server there would answer in its place.
  func refuse() {
    listener?.close()
    for peer in connections.values { peer.connection.close() }
    connections = [:]
  }

  /// Waits until a request is held.
  func nextHeld() async throws {
    guard held.isEmpty else { return }
    try await reactor.wait { heldWaiters.append($0) }
  }

  func release() {
    let waiting = held
    held = []
    for answer in waiting { answer() }
  }

  fileprivate func answer(_ request: Request, _ peer: Peer) {
    requests.append(request)
    open += 1
    mostAtOnce = max(mostAtOnce, open)
    let number = requests.count
    let succeed = { [self] in
      open -= 1
      peer.write(200, "", "{\"id\":\"m\(number)\",\"threadId\":\"t\(number)\",\"labelIds\":[\"SENT\"]}")
    }
    switch script(number, request) {
    case .success: succeed()
    case .emptySuccess:
      open -= 1
      peer.write(200, "", "{}")
    case .status(let status, let reason, let headers, let message):
      open -= 1
      let errors = reason.map { "[{\"domain\":\"usageLimits\",\"reason\":\"\($0)\"}]" } ?? "[]"
      peer.write(
        status, headers, "{\"error\":{\"code\":\(status),\"message\":\"\(message)\",\"errors\":\(errors)}}")
    case .close:
      open -= 1
      peer.connection.close()
    case .silence: break
    case .head(let text, let closes):
      open -= 1
      peer.connection.write(Array(text.utf8))
      if closes { peer.connection.closeAfterFlush() }
    case .held:
      held.append(succeed)
      for waiter in heldWaiters { waiter.resume(returning: ()) }
      heldWaiters = []
    }
  }

  /// One connection, HTTP/1.1 with Content-Length.
  fileprivate final class Peer: ConnectionDelegate {
    let connection: Connection
    /// Gone when a test has ended before its connections.
    private weak let gmail: ScriptedGmail?
    private var input: [UInt8] = []

    init(_ connection: Connection, _ gmail: ScriptedGmail) {
      self.connection = connection
      self.gmail = gmail
    }

    func connectionReady() {}

    func received(_ bytes: UnsafeRawBufferPointer) {
      input.append(contentsOf: bytes)
      while let request = next() { gmail?.answer(request, self) }
    }

    func readClosed() {
      gmail?.hangUps += 1
      connection.close()
    }
    func closed(_ error: (any Error)?) {}

    func write(_ status: Int, _ headers: String, _ body: String) {
      connection.write(
        Array(
          "HTTP/1.1 \(status) X\r\nContent-Type: application/json\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
            .utf8))
    }

    private func next() -> Request? {
      guard let end = input.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
      let lines = String(decoding: input[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
      var length = 0
      var token = ""
      var fields: [String: String] = [:]
      for line in lines.dropFirst() {
        let lowered = line.lowercased()
        if let colon = line.firstIndex(of: ":") {
          fields[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        if lowered.hasPrefix("content-length:") { length = Int(line.dropFirst(15).drop { $0 == " " }) ?? 0 }
        if lowered.hasPrefix("authorization: bearer ") { token = String(line.dropFirst(22)) }
      }
      guard input.count >= end.upperBound + length else { return nil }
      let body = Array(input[end.upperBound..<end.upperBound + length])
      input.removeFirst(end.upperBound + length)
      return Request(path: String(lines[0].split(separator: " ")[1]), token: token, body: body, fields: fields)
    }
  }
}
