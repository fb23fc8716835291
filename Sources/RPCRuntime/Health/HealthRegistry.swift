import EventLoop
import Synchronization
import WireCodec

/// What the services of a process say about themselves, shared by the servers of all loops.
public final class HealthRegistry: Sendable {
  private struct State {
    var statuses: [String: ServingStatus]
    var version = 0
    var nextWatcher = 0
    var watchers: [Int: @Sendable () -> Void] = [:]
  }

  private let state: Mutex<State>

  /// - Parameter services: full names; "" for the whole server is always there. All begin as not serving.
  public init(services: [String] = []) {
    var statuses = ["": ServingStatus.notServing]
    for service in services { statuses[service] = .notServing }
    state = Mutex(State(statuses: statuses))
  }

  /// Changes the state of a service; whoever watches it hears of it. From any thread.
  public func set(_ status: ServingStatus, for service: String) { update { $0[service] = status } }

  /// Changes the state of every service, the whole server included.
  public func setAll(_ status: ServingStatus) {
    update { statuses in for key in statuses.keys { statuses[key] = status } }
  }

  /// The state of a service; nil when there is no such service.
  public func status(of service: String) -> ServingStatus? { state.withLock { $0.statuses[service] } }

  /// The state of every service.
  public var all: [String: ServingStatus] { state.withLock { $0.statuses } }

  private func update(_ change: (inout [String: ServingStatus]) -> Void) {
    let woken = state.withLock { state in
      let before = state.statuses
      change(&state.statuses)
      guard state.statuses != before else { return [@Sendable () -> Void]() }
      state.version += 1
      defer { state.watchers = [:] }
      return Array(state.watchers.values)
    }
    for wake in woken { wake() }
  }

  var version: Int { state.withLock { $0.version } }

  /// Waits until something has changed since `version`.
  func change(since version: Int, on reactor: Reactor) async throws {
    var key: Int?
    defer { if let key { state.withLock { _ = $0.watchers.removeValue(forKey: key) } } }
    try await reactor.wait { (waiter: Waiter<Void>) in
      nonisolated(unsafe) let waiter = waiter  // only resumed on its loop, by `execute`
      let wake: @Sendable () -> Void = { [loop = reactor.loop] in
        loop.execute { _ in waiter.resume(returning: ()) }
      }
      key = state.withLock { state in
        guard state.version == version else { return nil }
        state.nextWatcher += 1
        state.watchers[state.nextWatcher] = wake
        return state.nextWatcher
      }
      if key == nil { waiter.resume(returning: ()) }
    }
  }
}

extension RPCServer {
  /// Serves `grpc.health.v1.Health`: Check, List and Watch. However much there is to do, Check and List are answered; a
  /// Watch lasts, and counts among the handlers.
  ///
  /// Spec: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
  public func serveHealth(of registry: HealthRegistry, allowedPeers: Set<String>? = nil) {
    var options = MethodOptions(allowedPeers: allowedPeers)
    options.bypassesLimits = true
    handle(Health.check, options: options) { request, _ in
      guard let status = registry.status(of: request.service) else {
        throw RPCError(.notFound, "no such service")
      }
      return HealthCheckResponse(status)
    }
    handle(Health.list, options: options) { _, _ in
      HealthListResponse { $0.statuses = registry.all.mapValues { HealthCheckResponse($0) } }
    }
    options.bypassesLimits = false
    options.endsOnDrain = true
    handle(Health.watch, options: options) {
      request, writer, context in
      var told: ServingStatus?
      while true {
        let version = registry.version
        let status = registry.status(of: request.service) ?? .serviceUnknown
        if status != told {
          try await writer.write(HealthCheckResponse(status))
          told = status
        }
        try await registry.change(since: version, on: context.reactor)
      }
    }
  }
}
