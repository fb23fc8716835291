public import EventLoop
import Synchronization
public import TLSSession

extension RPCServer {
  /// Serves on every loop of a group until `stop` returns, then drains: the whole life of a simple server process.
  ///
  /// ```swift
  /// try await RPCServer.run(on: try EventLoopGroup(), listen: "0.0.0.0:7000") { server in
  ///   server.handle(Greeter.sayHello) { request, _ in HelloReply { $0.message = "Hello, \(request.name)" } }
  /// } until: {
  ///   await signalled()
  /// }
  /// ```
  ///
  /// - Parameters:
  ///   - address: `host:port` (port 0: any that is free, the same for all loops) or `unix:PATH` (the first loop alone).
  ///   - drainLimit: how long calls in flight may take to end.
  ///   - started: told the address once every loop listens.
  ///   - build: registers the methods; called once on each loop, so that handlers share nothing between loops.
  ///   - stop: returns when the server is to stop; called once.
  /// - Throws: what `build` throws, or why the address cannot be listened on.
  public static func run(
    on group: EventLoopGroup, listen address: String, tls: TLSServerContext? = nil,
    configuration: ServerConfiguration = ServerConfiguration(), drainLimit: Duration = .seconds(10),
    started: @escaping @Sendable (SocketAddress) -> Void = { _ in },
    build: @escaping @Sendable (RPCServer) async throws -> Void,
    until stop: @escaping @Sendable () async -> Void
  ) async throws {
    let stopped = StopGate()
    let loops = address.hasPrefix("unix:") ? Array(group.loops.prefix(1)) : group.loops
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      let (addresses, listening) = AsyncThrowingStream.makeStream(of: SocketAddress.self)
      var next = addresses.makeAsyncIterator()
      var bound: SocketAddress?
      for loop in loops {
        let address = bound.map(\.listenText) ?? address
        tasks.addTask {
          do {
            try await loop.run { reactor in
              let server = RPCServer(on: reactor, configuration: configuration)
              try await build(server)
              listening.yield(try await server.listen(on: address, tls: tls))
              await stopped.wait()
              await server.drain(within: drainLimit)
            }
          } catch {
            listening.finish(throwing: error)
            throw error
          }
        }
        do {
          bound = try await next.next()
        } catch {
          stopped.open()
          throw error
        }
      }
      if let bound { started(bound) }
      await stop()
      stopped.open()
      try await tasks.waitForAll()
    }
  }
}

extension SocketAddress {
  /// As `listen` takes it.
  fileprivate var listenText: String { description }
}

/// Opens once; whoever waits goes on.
private final class StopGate: Sendable {
  private struct State {
    var isOpen = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  func open() {
    let waiters = state.withLock { state in
      state.isOpen = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiters.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }
}
