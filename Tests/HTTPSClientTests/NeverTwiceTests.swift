import CLibCurl
import EventLoop
import HTTPTypes
import Testing

@testable import HTTPSClient

/// The scenario in which libcurl 7.88 posts a second time by itself: a connection that served a request before closes after the body.
@Suite(.timeLimit(.minutes(1)))
struct NeverTwiceTests {
  /// Answers each connection's first request and closes after the second one's body, without a word.
  private static func closingServer() throws -> ScriptedServer {
    try ScriptedServer { peer in
      guard peer.readRequest() != nil else { return }
      peer.answer()
      _ = peer.readRequest()
      peer.close()
    }
  }

  @Test("A reused connection that closes after the body: the body is seen once and the outcome is unknown")
  func reusedConnectionCloses() async throws {
    let server = try Self.closingServer()
    let error = try await withClient { client, _ in
      _ = try await client.send(request(.post, server.authority, "/first"), body: RequestBody([1]))
      return await client.outcome(request(.post, server.authority, "/second"), body: RequestBody([2])).error
    }
    #expect(error?.code == .connectionLost)
    #expect(error?.observation.delivery == .unknown)
    #expect(error?.observation.connectionWasReused == true)
    #expect(server.requests.filter { $0.head.contains("/second") }.count == 1)
  }

  @Test(
    "The same with CURLOPT_POSTFIELDS is posted twice and told as a success: the server of these tests does catch it")
  func postFieldsPostsTwice() throws {
    let server = try Self.closingServer()
    let curl = try #require(curl_easy_init())
    defer { curl_easy_cleanup(curl) }
    emcurl_set_long(curl, CURLOPT_NOSIGNAL, 1)
    emcurl_set_transfer(curl, CURLOPT_WRITEFUNCTION) { _, size, count, _ in size * count }
    emcurl_set_string(curl, CURLOPT_POSTFIELDS, "body")
    for path in ["/first", "/second"] {
      emcurl_set_string(curl, CURLOPT_URL, "http://\(server.authority)\(path)")
      #expect(curl_easy_perform(curl) == CURLE_OK)
    }
    #expect(server.requests.filter { $0.head.contains("/second") }.count == 2)
  }

  @Test("A reused connection that is found closed before the body was asked for is replaced, and the body is seen once")
  func staleConnection() async throws {
    let server = try ScriptedServer { peer in
      while peer.readRequest() != nil {
        peer.answer()
        if peer.index == 1 {
          peer.close()
          return
        }
      }
    }
    let statuses = try await withClient { client, reactor in
      let first = try await client.send(request(.post, server.authority, "/first"), body: RequestBody([1]))
      while server.closedConnections == 0 { try await reactor.sleep(for: .milliseconds(2)) }
      let second = try await client.send(request(.post, server.authority, "/second"), body: RequestBody([2]))
      return [first.head.status.code, second.head.status.code]
    }
    #expect(statuses == [200, 200])
    #expect(server.requests.filter { $0.head.contains("/second") }.count == 1)
  }

  @Test("A POST without a body is not repeated either")
  func emptyPost() async throws {
    let server = try Self.closingServer()
    let outcomes = try await withClient { client, _ in
      [
        await client.outcome(request(.post, server.authority, "/first")).error?.code,
        await client.outcome(request(.post, server.authority, "/second")).error?.code,
      ]
    }
    #expect(outcomes == [nil, nil])
    #expect(server.requests.map(\.connection) == [1, 2])
  }

  @Test("A large body whose connection dies half-way is seen once at most")
  func diesWithinBody() async throws {
    let server = try ScriptedServer { peer in
      guard peer.readRequest() != nil else { return }
      peer.answer()
      _ = peer.readRequest(bodyLimit: 100_000)
      peer.reset()
    }
    let error = try await withClient { client, _ in
      _ = try await client.send(request(.post, server.authority, "/first"), body: RequestBody([1]))
      return await client.outcome(
        request(.post, server.authority, "/second"), body: RequestBody([UInt8](repeating: 7, count: 8 << 20))
      ).error
    }
    #expect(error?.observation.delivery == .unknown)
    #expect(server.requests.filter { $0.head.contains("/second") }.count == 1)
  }
}
