import EventLoop
import RPCRuntime
import TestSupport

/// A server and a channel to it on one loop, over a real socket; both end with the body.
func withPair(
  server configuration: ServerConfiguration = ServerConfiguration(),
  channel channelConfiguration: ChannelConfiguration = ChannelConfiguration(),
  register: @Sendable (RPCServer) throws -> Void,
  _ body: @Sendable (RPCChannel, RPCServer) async throws -> Void
) async throws {
  try await onLoop { reactor in
    let server = RPCServer(on: reactor, configuration: configuration)
    try register(server)
    let address = try await server.listen(on: "127.0.0.1:0")
    let channel = RPCChannel(
      to: try ChannelTarget("ipv4:\(address)"), on: reactor, configuration: channelConfiguration)
    let result: Result<Void, any Error>
    do {
      try await body(channel, server)
      result = .success(())
    } catch {
      result = .failure(error)
    }
    channel.close()
    await server.drain(within: .seconds(2))
    try result.get()
  }
}

/// What a call throws.
func failure(_ body: () async throws -> Void) async -> RPCError? {
  do {
    try await body()
    return nil
  } catch {
    return error as? RPCError ?? RPCError(error)
  }
}
