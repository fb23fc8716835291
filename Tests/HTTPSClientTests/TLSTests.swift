import EventLoop
import HTTPTypes
import Testing

@testable import HTTPSClient

@Suite(.timeLimit(.minutes(1)), .disabled(if: ForeignServer.nghttpd == nil, "nghttpd is not installed"))
struct TLSTests {
  @Test("A server whose CA is given is believed, and spoken to in HTTP/2 on one connection")
  func ownAuthority() async throws {
    let server = try await ForeignServer.echoing()
    let authority = server.authority
    let responses = try await withClient(server.trusting) { client, _ in
      var responses: [HTTPSClient.Response] = []
      for index in 0..<3 {
        responses.append(
          try await client.send(request(.post, authority, "/x", scheme: "https"), body: RequestBody([UInt8(index), 7])))
      }
      return responses
    }
    #expect(responses.map(\.head.status.code) == [200, 200, 200])
    #expect(responses.map(\.body) == [[0, 7], [1, 7], [2, 7]])
    #expect(responses.map(\.observation.connectionWasReused) == [false, true, true])
    #expect(responses[0].head.headerFields[.server]?.hasPrefix("nghttpd") == true)
  }

  @Test(
    "A certificate that no system root vouches for, or for another name: TLS error, not sent",
    arguments: ["localhost", "127.0.0.1"])
  func untrusted(_ host: String) async throws {
    let server = try await ForeignServer.echoing()
    let authority = "\(host):\(server.port)"
    let configuration = host == "localhost" ? HTTPSClient.Configuration() : server.trusting
    let error = try await withClient(configuration) { client, _ in
      await client.outcome(request(.post, authority, scheme: "https"), body: RequestBody([1])).error
    }
    #expect(error?.code == .tls)
    #expect(error?.observation.delivery == .notSent)
  }

  @Test("A thousand requests at once share a few HTTP/2 connections")
  func multiplexing() async throws {
    let server = try await ForeignServer.echoing()
    let authority = server.authority
    let fresh = try await withClient(server.trusting) { client, reactor in
      let tasks = (0..<1_000).map { index in
        reactor.spawn {
          let body = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 2_000)
          let response = try await client.send(
            request(.post, authority, "/x", scheme: "https"), body: RequestBody(body))
          return (matches: response.body == body, isFresh: !response.observation.connectionWasReused)
        }
      }
      var fresh = 0
      for task in tasks {
        let (matches, isFresh) = try await task.value
        #expect(matches)
        if isFresh { fresh += 1 }
      }
      return fresh
    }
    #expect(fresh <= 16)
  }

  @Test("Large bodies go through HTTP/2's flow control")
  func largeBody() async throws {
    let server = try await ForeignServer.echoing()
    let authority = server.authority
    let body = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) }
    let echoed = try await withClient(server.trusting) { client, _ in
      var options = HTTPSClient.Options()
      options.maxBodyBytes = body.count
      return try await client.send(
        request(.post, authority, "/x", scheme: "https"), body: RequestBody(body), options: options
      ).body
    }
    #expect(echoed == body)
  }

  @Test("A killed server leaves the request that it had unknown, and the next one not sent")
  func killed() async throws {
    let server = try await ForeignServer.echoing()
    let authority = server.authority
    let configuration = server.trusting
    let next = try await withClient(configuration) { client, _ in
      _ = try await client.send(request(.post, authority, "/x", scheme: "https"), body: RequestBody([1]))
      server.kill()
      return await client.outcome(request(.post, authority, "/x", scheme: "https"), body: RequestBody([2])).error
    }
    #expect(next?.observation.delivery == .notSent)
  }
}
