import EventLoop
@testable import RPCRuntime

/// Servers on one loop that count their calls, and the addresses that a name has at the moment.
final class Fleet {
  let reactor: Reactor
  private(set) var servers: [RPCServer] = []
  private(set) var addresses: [SocketAddress] = []
  private(set) var counts: [Tally] = []
  /// What the name means; changed by tests.
  var published: [SocketAddress] = []
  private(set) var lookUps = 0

  init(on reactor: Reactor) { self.reactor = reactor }

  /// Starts a server whose `echo` names it by its number.
  @discardableResult
  func add(at address: String = "127.0.0.1:0", register: (RPCServer) -> Void = { _ in }) async throws -> RPCServer {
    let server = RPCServer(on: reactor)
    let (count, number) = (Tally(), servers.count)
    server.handle(Notes.echo) { _, _ in
      count.add(1)
      return Note("\(number)")
    }
    register(server)
    addresses.append(try await server.listen(on: address))
    servers.append(server)
    counts.append(count)
    return server
  }

  /// A channel to the name of the fleet.
  func channel(_ change: (inout ChannelConfiguration) -> Void = { _ in }) throws -> RPCChannel {
    var configuration = ChannelConfiguration()
    configuration.backoff = Backoff(initial: .milliseconds(10), limit: .milliseconds(50))
    configuration.resolution.minimumInterval = .milliseconds(5)
    configuration.resolution.refreshInterval = .milliseconds(10)
    configuration.service.balancing = .roundRobin
    change(&configuration)
    let channel = RPCChannel(to: try ChannelTarget("dns:///fleet:1"), on: reactor, configuration: configuration)
    channel.lookUp = { [weak self] _, _ in
      self?.lookUps += 1
      return self?.published ?? []
    }
    return channel
  }

  func stop() async {
    for server in servers { await server.drain(within: .seconds(2)) }
  }
}

extension Reactor {
  /// Lets the loop go on until `condition` holds; the suite's time limit ends a vain wait.
  func wait(until condition: () -> Bool) async throws {
    while !condition() { try await sleep(for: .milliseconds(1)) }
  }
}
