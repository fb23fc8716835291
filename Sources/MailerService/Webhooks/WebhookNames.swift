import EventLoop

/// Looks up the names in webhooks' URLs. Tenants choose them, and with them how long the look-up takes: it has threads of
/// its own, since the shared ones also serve the way to Postgres, and nobody waits long for it.
final class WebhookNames {
  typealias Answer = Result<[SocketAddress], any Error>

  static let timeout: Duration = .seconds(5)
  /// As many as webhooks that are under way. A look-up that nobody waits for any more keeps its thread until the system
  /// gives it up.
  private static let threads = BlockingPool(limit: WebhookWorker.inFlight)

  private struct Name: Hashable {
    var tenantID: String
    var host: String
    var port: UInt16
  }

  private let reactor: Reactor
  private let timeout: Duration
  private let lookUp: (String, UInt16) async throws -> [SocketAddress]
  /// Who waits, by name. A tenant's webhooks to one host share a look-up, so that it holds one thread.
  private var underWay: [Name: [Waiter<[SocketAddress]>]] = [:]

  init(
    _ reactor: Reactor, timeout: Duration = WebhookNames.timeout,
    lookUp: ((String, UInt16) async throws -> [SocketAddress])? = nil
  ) {
    self.reactor = reactor
    self.timeout = timeout
    self.lookUp = lookUp ?? { try await reactor.resolve(host: $0, port: $1, on: Self.threads) }
  }

  /// - Throws: `CancellationError`, or what says that there is no answer, or none in time.
  func addresses(of host: String, port: UInt16, tenantID: String) async throws -> [SocketAddress] {
    let name = Name(tenantID: tenantID, host: host, port: port)
    var timer: Timer?
    defer { timer?.cancel() }
    return try await reactor.wait { (waiter: Waiter<[SocketAddress]>) in
      timer = reactor.schedule(after: timeout) {
        waiter.resume(throwing: SocketAddressError(message: "no answer in time"))
      }
      guard underWay[name]?.append(waiter) == nil else { return }
      underWay[name] = [waiter]
      // Ends with the system's own time-out: a look-up cannot be cancelled.
      reactor.spawn { [self] in
        let answer: Answer
        do { answer = .success(try await lookUp(host, port)) } catch { answer = .failure(error) }
        for waiter in underWay.removeValue(forKey: name) ?? [] { waiter.resume(with: answer) }
      }
    }
  }
}
