import EventLoop
import Glibc
import HTTP2Session
import TestSupport
import Testing
import Transport

@testable import RPCRuntime

@Suite("What calls and connections count", .timeLimit(.minutes(1)))
struct FiguresTests {
  private let metrics = RecordedMetrics.shared

  /// gRPC's own by proposals A66, A96, A94 and A91, in Prometheus' spelling; the last four are ours.
  private static let names: [String: [String]] = [
    "grpc_server_call_started_total": ["grpc_method"],
    "grpc_server_call_duration_seconds": ["grpc_method", "grpc_status"],
    "grpc_server_call_sent_total_compressed_message_size_bytes": ["grpc_method", "grpc_status"],
    "grpc_server_call_rcvd_total_compressed_message_size_bytes": ["grpc_method", "grpc_status"],
    "grpc_client_attempt_started_total": ["grpc_method", "grpc_target"],
    "grpc_client_attempt_duration_seconds": ["grpc_method", "grpc_target", "grpc_status"],
    "grpc_client_attempt_sent_total_compressed_message_size_bytes": ["grpc_method", "grpc_target", "grpc_status"],
    "grpc_client_attempt_rcvd_total_compressed_message_size_bytes": ["grpc_method", "grpc_target", "grpc_status"],
    "grpc_client_call_duration_seconds": ["grpc_method", "grpc_target", "grpc_status"],
    "grpc_client_call_retries_total": ["grpc_method", "grpc_target"],
    "grpc_client_call_transparent_retries_total": ["grpc_method", "grpc_target"],
    "grpc_client_call_hedges_total": ["grpc_method", "grpc_target"],
    "grpc_subchannel_connection_attempts_succeeded_total": ["grpc_target"],
    "grpc_subchannel_connection_attempts_failed_total": ["grpc_target"],
    "grpc_subchannel_open_connections": ["grpc_target"],
    "grpc_subchannel_disconnections_total": ["grpc_target", "grpc_disconnect_error"],
    "grpc_lb_outlier_detection_ejections_enforced_total": ["grpc_target"],
    "rpc_server_calls_shed_total": ["grpc_method"],
    "rpc_server_connections_ended_total": ["reason"],
    "rpc_http2_limits_total": ["limit"],
    "rpc_client_http2_limits_total": ["grpc_target", "limit"],
  ]

  @Test("All that is measured, by its names and those of its labels, and nothing else")
  func table() async throws {
    let safe = UnaryMethod<Note, Note>("test.Names", "Safe", isSafe: true)
    let retried = UnaryMethod<Note, Note>("test.Names", "Retried")
    let repeated = UnaryMethod<Note, Note>("test.Names", "Repeated")
    func shows(_ name: String, of method: UnaryMethod<Note, Note>, _ value: Double = 1) {
      #expect(metrics.sum(name, ("grpc_method", method.descriptor.fullName)) == value, "\(name)")
    }
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        switch peer.block?.first(":path").map({ String(decoding: $0, as: UTF8.self) }) {
        case repeated.descriptor.path where peer.requests == 5: return peer.goAwayKnowingNothing()
        case safe.descriptor.path where peer.requests == 1: return peer.fail(stream, .unavailable)
        case retried.descriptor.path where peer.requests == 3: return peer.fail(stream, .unavailable)
        default: break
        }
        peer.begin(stream, with: Note(""))
        peer.end(stream)
      }
      var configuration = ChannelConfiguration()
      configuration.service.configure(
        safe.descriptor, MethodConfiguration(repetition: .hedge(HedgingPolicy(delay: .seconds(50)))))
      configuration.service.configure(
        retried.descriptor, MethodConfiguration(repetition: .retry(RetryPolicy(initialBackoff: .milliseconds(1)))))
      let nobody = try SocketAddress(numericHost: "127.0.0.1", port: 1)
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(nobody),\(server.address)"), on: reactor, configuration: configuration)
      for method in [safe, retried, repeated] { _ = try await channel.call(method, Note("")) }
      let transport = try #require(channel.connections.first?.transport)
      channel.limitExceeded(.pings, by: transport, isNews: false)
      channel.noteEjections(channel.balancer.links.map(\.id))
      channel.close()
      server.stop()
    }
    shows("grpc_client_call_hedges_total", of: safe)
    shows("grpc_client_call_retries_total", of: retried)
    shows("grpc_client_call_transparent_retries_total", of: repeated)
    for method in [safe, retried, repeated] {
      shows("grpc_client_attempt_started_total", of: method, 2)
      #expect(
        metrics.values(
          "grpc_client_call_duration_seconds", ("grpc_method", method.descriptor.fullName), ("grpc_status", "OK")
        ).count == 1)
    }
    try await withPair {
      $0.handle(retried) { request, _ in request }
    } _: { channel, server in
      _ = try await channel.call(retried, Note(""))
      server.turnedAway(retried.descriptor)
      server.connectionEnding("age")
      server.limitExceeded(.pings, by: try #require(server.connections.values.first).transport, isNews: false)
    }
    shows("grpc_server_call_started_total", of: retried)
    shows("rpc_server_calls_shed_total", of: retried)
    let measured = metrics.labels.filter { $0.key.hasPrefix("grpc_") || $0.key.hasPrefix("rpc_") }
    #expect(measured == Self.names.mapValues { [$0] })
  }

  @Test("The sizes are those of the messages alone, on both sides")
  func sizes() async throws {
    let echo = BidirectionalMethod<Note, Note>("test.Sizes", "Chat")
    try await withPair {
      $0.handle(echo) { requests, replies, _ in
        for try await request in requests { try await replies.write(request) }
      }
    } _: { channel, _ in
      let call = try channel.call(echo)
      for _ in 0..<3 {
        try await call.write(Note("12345678"))  // 10 bytes
        _ = try await call.responses.next()
      }
      call.finishWriting()
      #expect(try await call.responses.next() == nil)
    }
    for side in ["grpc_client_attempt", "grpc_server_call"] {
      for direction in ["sent", "rcvd"] {
        let name = "\(side)_\(direction)_total_compressed_message_size_bytes"
        #expect(metrics.sum(name, ("grpc_method", "test.Sizes/Chat")) == 30)
      }
    }
  }

  @Test("An attempt begins with the wait for its connection, and counts when it never gets one")
  func attempts() async throws {
    let echo = UnaryMethod<Note, Note>("test.Attempts", "Echo")
    @Sendable func started() -> Double {
      metrics.sum("grpc_client_attempt_started_total", ("grpc_method", "test.Attempts/Echo"))
    }
    @Sendable func durations(_ code: StatusCode) -> [Double] {
      metrics.values(
        "grpc_client_attempt_duration_seconds", ("grpc_method", "test.Attempts/Echo"),
        ("grpc_status", code.metricLabel))
    }
    try await onLoop { reactor in
      let placeholder = RPCServer(on: reactor)
      let address = try await placeholder.listen(on: "127.0.0.1:0")
      await placeholder.drain(within: .zero)
      var configuration = ChannelConfiguration()
      configuration.backoff = Backoff(initial: .milliseconds(5), limit: .milliseconds(10))
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor, configuration: configuration)
      let lost = await failure { _ = try await channel.call(echo, Note("")) }
      #expect(lost?.code == .unavailable)
      #expect(started() == 1)
      #expect(durations(.unavailable).count == 1)
      let waiting = reactor.spawn { try await channel.call(echo, Note(""), options: CallOptions(waitForReady: true)) }
      try await reactor.wait { channel.waiting.count == 1 }
      #expect(started() == 2)
      let server = RPCServer(on: reactor)
      server.handle(echo) { request, _ in request }
      try await reactor.sleep(for: .milliseconds(50))
      try await server.listen(on: "\(address)")
      _ = try await waiting.value
      #expect(durations(.ok).count == 1)
      #expect(durations(.ok).allSatisfy { $0 >= 50_000_000 })
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  @Test("Ejections count, whether failures in a row or a look at the rates found them")
  func ejections() async throws {
    try await onLoop { reactor in
      let addresses = "ipv4:127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"
      var configuration = ChannelConfiguration()
      configuration.service.balancing = .roundRobin
      var outliers = OutlierDetection()
      (outliers.maxEjectionPercent, outliers.minimumHosts, outliers.requestVolume) = (100, 3, 1)
      outliers.successRateDeviations = 0.5
      configuration.service.outlierDetection = outliers
      let channel = RPCChannel(to: try ChannelTarget(addresses), on: reactor, configuration: configuration)
      _ = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      let links = channel.balancer.links.map(\.id)
      func ejections() -> Double {
        metrics.sum("grpc_lb_outlier_detection_ejections_enforced_total", ("grpc_target", channel.target.description))
      }
      for _ in 0..<5 { channel.attemptEnded(links[0], .unavailable) }
      #expect(ejections() == 1)
      for link in links { channel.attemptEnded(link, link == links[1] ? .unavailable : .ok) }
      channel.checkOutliers(now: .current() + .seconds(11))
      #expect(channel.outliers?.isEjected(links[1]) == true)
      #expect(ejections() == 2)
      channel.close()
    }
  }

  @Test("A connection that is open is counted until it is lost, told to go or given up, by the first reason")
  func connections() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        switch peer.requests {
        case 1:
          peer.begin(stream, with: Note(""))
          peer.end(stream)
        case 2: peer.goAwayKnowingNothing()
        default: break
        }
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      let target = ("grpc_target", channel.target.description)
      func open() -> Double { metrics.sum("grpc_subchannel_open_connections", target) }
      func ended(_ reason: String) -> Double {
        metrics.sum("grpc_subchannel_disconnections_total", target, ("grpc_disconnect_error", reason))
      }
      _ = try await channel.call(Notes.echo, Note(""))
      #expect(open() == 1)
      // Answered by GOAWAY: it goes over another connection.
      _ = try await channel.call(Notes.echo, Note(""))
      #expect((open(), ended("GOAWAY NO_ERROR"), ended("subchannel shutdown")) == (1, 1, 0))
      channel.close()
      #expect((open(), ended("GOAWAY NO_ERROR"), ended("subchannel shutdown")) == (0, 1, 1))
      server.stop()
    }
  }

  /// The call went on elsewhere before the channel knew, and found this connection without room.
  @Test("A connection is lost for its own reason, though a call had not been sent yet")
  func lostBeforeSending() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        peer.begin(stream, with: Note(""))
        peer.end(stream)
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      _ = try await channel.call(Notes.echo, Note(""))
      let connection = try #require(channel.connections.first)
      let call = try channel.call(Notes.chat)
      connection.closed(SystemError("recv", ECONNRESET))
      connection.transport.close()
      let reset = metrics.sum(
        "grpc_subchannel_disconnections_total", ("grpc_target", channel.target.description),
        ("grpc_disconnect_error", "connection reset"))
      #expect(reset == 1)
      call.cancel()
      channel.close()
      server.stop()
    }
  }

  @Test(
    "Why a connection ended, in proposal A94's words",
    arguments: [
      (ECONNRESET, "connection reset"), (ETIMEDOUT, "connection timed out"), (ECONNABORTED, "connection aborted"),
      (EHOSTUNREACH, "socket error"),
    ])
  func reasons(number: Int32, label: String) {
    #expect(DisconnectReason(SystemError("recv", number)).label == label)
    #expect(DisconnectReason(nil).label == "unknown")
    #expect(DisconnectReason(goAway: .enhanceYourCalm).label == "GOAWAY ENHANCE_YOUR_CALM")
    #expect(DisconnectReason(goAway: HTTP2ErrorCode(rawValue: 14)).label == "unknown")
  }
}
