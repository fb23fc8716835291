import EventLoop
import Foundation
import HTTPTypes
import Testing

@testable import HTTPSClient

@Suite(.timeLimit(.minutes(1)))
struct FailureTests {
  @Test("Nobody listens: not sent")
  func refusedConnection() async throws {
    let port = try ScriptedServer { _ in }.port
    let error = try await withClient { client, _ in
      await client.outcome(request(.post, "127.0.0.1:\(port)"), body: RequestBody([1])).error
    }
    #expect(error?.code == .connect)
    #expect(error?.observation.delivery == .notSent)
  }

  @Test("An unknown name: not sent")
  func unknownName() async throws {
    let error = try await withClient { client, _ in
      await client.outcome(request(.post, "nobody.invalid", scheme: "https"), body: RequestBody([1])).error
    }
    #expect(error?.code == .nameResolution)
    #expect(error?.observation.delivery == .notSent)
  }

  @Test("A connection that is never accepted ends at the connect time-out: not sent")
  func connectTimeout() async throws {
    // A backlog of one, filled: further SYNs get no answer.
    let blocked = try FullListener()
    let authority = blocked.authority
    let error = try await withClient { client, _ in
      var options = HTTPSClient.Options()
      options.connectTimeout = .milliseconds(150)
      return await client.outcome(request(.post, authority), body: RequestBody([1]), options: options).error
    }
    #expect(error?.code == .connect)
    #expect(error?.observation.delivery == .notSent)
  }

  @Test(
    "After the body left, a reset, a close or half an answer leaves the outcome unknown",
    arguments: ["reset", "close", "half-close", "half head", "half body"])
  func brokenAfterBody(_ way: String) async throws {
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      switch way {
      case "reset": peer.reset()
      case "half-close": peer.halfClose(); peer.waitForEnd()
      case "half head": peer.write("HTTP/1.1 200 OK\r\nContent-Le")
      case "half body": peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
      default: peer.close()
      }
    }
    let error = try await withClient { client, _ in
      await client.outcome(request(.post, server.authority), body: RequestBody([1, 2])).error
    }
    #expect(error?.code == (way == "half head" ? .protocolViolation : .connectionLost))
    #expect(error?.observation.bodyBytesHandedOver == 2)
    #expect(error?.observation.delivery == (way == "half body" ? .answered : .unknown))
    #expect(server.requests.count == 1)
  }

  @Test("What is not HTTP is a protocol violation, and the outcome unknown")
  func notHTTP() async throws {
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      peer.write("220 mail.example ESMTP\r\n")
    }
    let error = try await withClient { client, _ in
      await client.outcome(request(.post, server.authority), body: RequestBody([1, 2])).error
    }
    #expect(error?.code == .protocolViolation)
    #expect(error?.observation.delivery == .unknown)
  }

  @Test("A slow answer ends at the total time-out: unknown")
  func timeout() async throws {
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      peer.write("HTTP/1.1 200 OK\r\nX-A: 1\r\n")
      peer.waitForEnd()
    }
    let error = try await withClient { client, _ in
      var options = HTTPSClient.Options()
      options.timeout = .milliseconds(200)
      return await client.outcome(request(.post, server.authority), body: RequestBody([1]), options: options).error
    }
    #expect(error?.code == .timeout)
    #expect(error?.observation.delivery == .unknown)
  }

  @Test("A cancelled task ends at once, tells what was sent, and closes its connection")
  func cancellation() async throws {
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      peer.waitForEnd()
      peer.write("x")
    }
    let error = try await withClient { client, reactor in
      let sent = reactor.spawn { await client.outcome(request(.post, server.authority), body: RequestBody([1])) }
      while server.requests.isEmpty { try await reactor.sleep(for: .milliseconds(2)) }
      sent.cancel()
      let error = try await sent.value.error
      #expect(client.requestCount == 0)
      return error
    }
    #expect(error?.code == .cancelled)
    #expect(error?.observation.delivery == .unknown)
  }

  @Test("A task that is cancelled beforehand sends nothing")
  func cancelledBefore() async throws {
    let server = try ScriptedServer { peer in _ = peer.readRequest() }
    let error = try await withClient { client, reactor in
      let sent = reactor.spawn {
        while !Task.isCancelled { await reactor.yield() }
        return await client.outcome(request(.post, server.authority), body: RequestBody([1])).error
      }
      sent.cancel()
      return try await sent.value
    }
    #expect(error?.code == .cancelled)
    #expect(error?.observation.delivery == .notSent)
    #expect(server.connections == 0)
  }

  @Test("A request that finds a connection only after its time is not sent, and the connection serves the next one")
  func tooLate() async throws {
    let server = try ScriptedServer { peer in while peer.readRequest() != nil { peer.answer() } }
    var configuration = HTTPSClient.Configuration()
    configuration.maxRequestsInFlight = 1
    let outcomes = try await withClient(configuration) { client, _ in
      var options = HTTPSClient.Options()
      var outcomes: [Result<HTTPSClient.Response, HTTPSClientError>] = []
      for notAfter in [ContinuousClock.now + .seconds(60), .now - .nanoseconds(1), nil] {
        options.notAfter = notAfter
        outcomes.append(
          await client.outcome(request(.post, server.authority), body: RequestBody([1]), options: options))
      }
      return outcomes
    }
    #expect(outcomes.map { $0.error?.code } == [nil, .tooLate, nil])
    #expect(outcomes[1].error?.observation.delivery == .notSent)
    #expect(outcomes[1].error?.observation.bodyWasAskedFor == false)
    #expect(server.requests.count == 2)
  }

  @Test("A body at the limit is taken, one byte more is not", arguments: [(100, true), (101, false)])
  func bodyLimit(_ size: Int, _ fits: Bool) async throws {
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      peer.answer(body: String(repeating: "x", count: size))
    }
    let result = try await withClient { client, _ in
      var options = HTTPSClient.Options()
      options.maxBodyBytes = 100
      return await client.outcome(request(.get, server.authority), options: options)
    }
    #expect(result.error?.code == (fits ? nil : .bodyTooLarge))
  }

  @Test(
    "With a limit in time for the body the head decides, and the connection of a body that did not end is dropped",
    arguments: ["no end", "too long", "closed", "whole"])
  func bodyTimeout(how: String) async throws {
    let server = try ScriptedServer { peer in
      while peer.readRequest() != nil {
        peer.write("HTTP/1.1 202 X\r\nA: b\r\nContent-Length: \(how == "whole" ? 3 : 99)\r\n\r\nabc")
        if how == "too long" { peer.write("defg") }
        if how == "closed" { return peer.close() }
      }
    }
    for limit in [Duration.milliseconds(100), nil] {
      let result = try await withClient { client, _ in
        var options = HTTPSClient.Options()
        options.maxBodyBytes = 5
        options.timeout = .milliseconds(500)
        options.bodyTimeout = limit
        // On a connection that is used again, where it can be.
        _ = await client.outcome(request(.post, server.authority), body: RequestBody([1]), options: options)
        return await client.outcome(request(.post, server.authority), body: RequestBody([1]), options: options)
      }
      guard limit != nil || how == "whole" else {
        #expect(result.error?.code == ["no end": .timeout, "too long": .bodyTooLarge, "closed": .connectionLost][how])
        continue
      }
      let response = try result.get()
      #expect(response.head.status.code == 202 && response.head.headerFields[.init("A")!] == "b")
      #expect(response.observation.status == 202)
      // Of a piece that goes past the limit nothing is taken.
      #expect(response.body == Array("abc".utf8) || how == "too long" && response.body.isEmpty)
      #expect(response.observation.connectionWasReused == (how == "whole"))
    }
  }

  @Test("A head at the limit is taken, one byte more is not", arguments: [(0, true), (1, false)])
  func headLimit(_ excess: Int, _ fits: Bool) async throws {
    let frame = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: \r\n\r\n".utf8.count
    let value = String(repeating: "v", count: 1_000 - frame + excess)
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: \(value)\r\n\r\n")
    }
    let result = try await withClient { client, _ in
      var options = HTTPSClient.Options()
      options.maxHeadBytes = 1_000
      return await client.outcome(request(.get, server.authority), options: options)
    }
    #expect(result.error?.code == (fits ? nil : .headTooLarge))
  }

  @Test("A closed client refuses, and ends what is under way")
  func close() async throws {
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      peer.waitForEnd()
    }
    let codes = try await withClient { client, reactor in
      let sent = reactor.spawn { await client.outcome(request(.post, server.authority), body: RequestBody([1])) }
      while server.requests.isEmpty { try await reactor.sleep(for: .milliseconds(2)) }
      client.close()
      return [try await sent.value.error?.code, await client.outcome(request(.get, server.authority)).error?.code]
    }
    #expect(codes == [.closed, .closed])
  }

  @Test("Past the bound on waiting requests the client refuses; the others come in order")
  func overload() async throws {
    let server = try ScriptedServer { peer in while peer.readRequest() != nil { peer.answer() } }
    var configuration = HTTPSClient.Configuration()
    configuration.maxRequestsInFlight = 1
    configuration.maxWaitingRequests = 2
    let codes = try await withClient(configuration) { client, reactor in
      let tasks = (0..<4).map { index in
        reactor.spawn {
          await client.outcome(request(.post, server.authority, "/\(index)"), body: RequestBody([1])).error?.code
        }
      }
      var codes: [HTTPSClientError.Code?] = []
      for task in tasks { codes.append(try await task.value) }
      return codes
    }
    #expect(codes == [nil, nil, nil, .overloaded])
    #expect(server.requests.map { String($0.head.dropFirst(5).prefix(2)) } == ["/0", "/1", "/2"])
  }
}

/// A listener whose backlog is full.
private final class FullListener {
  private let listener: Int32
  private var fillers: [Int32] = []
  let authority: String

  init() throws {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    listener = fd
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        _ = bind(fd, raw, length)
        listen(fd, 0)
        getsockname(fd, raw, &length)
      }
    }
    authority = "127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
    for _ in 0..<4 {
      let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
      withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = connect(filler, $0, length) }
      }
      fillers.append(filler)
    }
  }

  deinit { (fillers + [listener]).forEach { _ = close($0) } }
}
