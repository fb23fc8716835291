public import EventLoop
public import Logging
public import TLSSession

extension RPCServer {
  /// Serves on every loop of a group until `stop` returns, then drains: the whole life of a simple server process.
  ///
  /// ```swift
  /// try await RPCServer.run(on: try EventLoopGroup(), listen: "0.0.0.0:7000") { server in
  ///   server.handle(Greeter.sayHello) { request, _ in HelloReply { $0.message = "Hello, \(request.name)" } }
  /// }
  /// ```
  ///
  /// - Parameters:
  ///   - address: `host:port` (port 0: any that is free, the same for all loops) or `unix:PATH` (the first loop alone).
  ///   - drainLimit: how long calls in flight may take to end.
  ///   - started: told the address once every loop listens.
  ///   - build: registers the methods; called once on each loop, so that handlers share nothing between loops.
  ///   - stop: returns when the server is to stop; called once. Nil: at SIGTERM, SIGINT or SIGHUP, of which a second one
  ///     ends the process at once.
  /// - Throws: what `build` throws, or why the address cannot be listened on, such as that another process does.
  public static func run(
    on group: EventLoopGroup, listen address: String, tls: TLSServerContext? = nil,
    configuration: ServerConfiguration = ServerConfiguration(), logger: Logger = Logger(label: "rpc.server"),
    drainLimit: Duration = .seconds(10), started: @escaping @Sendable (SocketAddress) -> Void = { _ in },
    build: @escaping @Sendable (RPCServer) async throws -> Void,
    until stop: (@Sendable () async -> Void)? = nil
  ) async throws {
    let (stopped, signalled) = (Latch(), Latch())
    let loops = address.hasPrefix("unix:") ? Array(group.loops.prefix(1)) : group.loops
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      let (addresses, listening) = AsyncThrowingStream.makeStream(of: SocketAddress.self)
      var next = addresses.makeAsyncIterator()
      var bound: SocketAddress?
      for (index, loop) in loops.enumerated() {
        let address = bound.map(\.description) ?? address
        tasks.addTask {
          do {
            try await loop.run { reactor in
              let signals = index == 0 && stop == nil ? try signalled.openAtSignal(on: reactor) : nil
              defer { signals?.close() }
              let server = RPCServer(on: reactor, configuration: configuration, logger: logger)
              try await build(server)
              if index == 0 { try await ListenAddress(address).requireUnused(on: reactor) }
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
      if let stop { await stop() } else { await signalled.wait() }
      stopped.open()
      try await tasks.waitForAll()
    }
  }
}

extension Latch {
  /// Opens when the process is told to end. Told so again, it ends: whoever does that has waited enough.
  fileprivate func openAtSignal(on reactor: Reactor) throws -> SignalWatch {
    try SignalWatch(on: reactor) { number in
      if self.isOpen { SignalWatch.obey(number) } else { self.open() }
    }
  }
}
