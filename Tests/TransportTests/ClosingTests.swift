import EventLoop
import TLSSession
import TestSupport
import Testing

@testable import Transport

@Suite("The end of a connection", .timeLimit(.minutes(1)))
struct ClosingTests {
  private static func limits(linger: Duration) -> Connection.Limits {
    var limits = Connection.Limits()
    limits.linger = linger
    return limits
  }

  /// A server over TLS and a client, between whom a byte has gone each way: no word of the handshake is under way.
  private static func settledTLS(_ reactor: Reactor) async throws -> Link {
    let link = try await Link.open(reactor, echoes: true, server: Site.server(), client: Site.client())
    link.client.connection!.write([1])
    try await link.client.until { link.client.received == [1] }
    return link
  }

  @Test("Under TLS an end that the peer did not announce is told as a cut, and never as an end")
  func truncated() async throws {
    try await onLoop { reactor in
      let link = try await Self.settledTLS(reactor)
      link.client.connection!.close()
      try await link.server.until { link.server.isClosed }
      #expect((link.server.error as? TLSError)?.code == .truncated)
      #expect(!link.server.isReadClosed)
      link.close()
    }
  }

  @Test("Under TLS an end that the peer announced is no error, and what was written before it has come")
  func announced() async throws {
    try await onLoop { reactor in
      let link = try await Self.settledTLS(reactor)
      link.client.connection!.write([2])
      link.client.connection!.closeAfterFlush()
      try await link.server.until { link.server.isReadClosed }
      #expect(link.server.received == [1, 2] && !link.server.isClosed)
      link.server.connection!.closeAfterFlush()
      try await link.server.until { link.server.isClosed }
      #expect(link.server.error == nil)
      link.close()
    }
  }

  @Test(
    "After its last answer a connection takes what the peer has under way, tells nobody of it, and ends with the peer")
  func linger() async throws {
    try await onLoop { reactor in
      let link = try await Link.open(reactor, limits: Self.limits(linger: .seconds(3600)))
      link.server.connection!.write([7])
      link.server.connection!.closeAfterFlush()
      try await link.client.until { link.client.isReadClosed }
      #expect(link.server.connection!.phase == .lingering)
      link.client.connection!.write([UInt8](repeating: 1, count: 4 << 20))
      link.client.connection!.closeAfterFlush()
      try await link.client.until { link.client.isClosed }
      try await link.server.until { link.server.isClosed }
      #expect(link.client.error == nil && link.server.error == nil)
      #expect(link.client.received == [7] && link.server.received.isEmpty && !link.server.isReadClosed)
      link.close()
    }
  }

  @Test("It waits no longer than it may for a peer that stays")
  func lingerLimit() async throws {
    try await onLoop { reactor in
      let link = try await Link.open(reactor, limits: Self.limits(linger: .milliseconds(20)))
      link.server.connection!.closeAfterFlush()
      try await link.server.until { link.server.isClosed }
      #expect(link.server.error == nil && !link.client.isClosed)
      link.close()
    }
  }

  @Test("It does not wait at all for a peer that has ended its side")
  func noLinger() async throws {
    try await onLoop { reactor in
      let link = try await Link.open(reactor, limits: Self.limits(linger: .seconds(3600)))
      link.client.connection!.closeAfterFlush()
      try await link.server.until { link.server.isReadClosed }
      link.server.connection!.write([7])
      link.server.connection!.closeAfterFlush()
      try await link.server.until { link.server.isClosed }
      #expect(link.server.error == nil)
      link.close()
    }
  }
}
