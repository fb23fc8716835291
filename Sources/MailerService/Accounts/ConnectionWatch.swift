import CivilTime
import EventLoop
import Logging
import RPCRuntime
import ServiceContracts
import WireCodec
import ServiceKit

/// Follows the changes of connections: a dead grant's token is forgotten at once, and mail that waited for a consent goes
/// when the consent is there.
final class ConnectionWatch {
  private let reactor: Reactor
  private let channel: RPCChannel
  private let signer: ContextSigner
  private let cache: TokenCache
  private let logger: Logger
  private let started: () async -> Void
  private let connected: (UserKey) async -> Void
  private var task: Task<Void, any Error>?

  /// - Parameter started: what changed until now may not have been told.
  /// - Parameter connected: a user's account is active again.
  init(
    reactor: Reactor, channel: RPCChannel, signer: ContextSigner, cache: TokenCache, logger: Logger,
    started: @escaping () async -> Void, connected: @escaping (UserKey) async -> Void
  ) {
    self.reactor = reactor
    self.channel = channel
    self.signer = signer
    self.cache = cache
    self.logger = logger
    self.started = started
    self.connected = connected
  }

  func start() {
    task = reactor.spawn { [self] in
      var backoff = Backoff(initial: .milliseconds(200), multiplier: 1.6, limit: .seconds(10), jitter: 0.2)
      while !Task.isCancelled {
        do {
          try await follow { backoff.reset() }
        } catch {
          logger.debug("the watch of connections ended", metadata: ["error": "\(error)"])
        }
        try await reactor.sleep(for: backoff.next())
      }
    }
  }

  func stop() async {
    task?.cancel()
    _ = await task?.result
  }

  private func follow(_ begun: () -> Void) async throws {
    let call = try channel.call(
      OAuth.watchConnections, OAuth.WatchConnectionsRequest(),
      options: CallOptions(metadata: signer.metadata(for: CallContext()), waitForReady: true))
    for try await event in call {
      switch event.event {
      case .started:
        // What changed while nobody listened was not told.
        cache.dropAll()
        begun()
        await started()
      case .change(let change):
        let user = UserKey(tenantID: change.tenantID, userID: change.userID)
        cache.drop(user)
        if change.status == .active { await connected(user) }
      case nil: break
      }
    }
  }
}
