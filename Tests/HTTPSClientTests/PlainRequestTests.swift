import EventLoop
import HTTPTypes
import Testing

@testable import HTTPSClient

@Suite(.timeLimit(.minutes(1)))
struct PlainRequestTests {
  @Test("A POST carries its method, target, fields and body, and brings back status, fields and body")
  func roundTrip() async throws {
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      peer.answer("201 Created", body: "made", headers: "X-Colour: blue\r\nX-Colour: green\r\nX-Empty:\r\n")
    }
    let response = try await withClient { client, _ in
      var post = request(.post, server.authority, "/a/b?c=%20d")
      post.headerFields[.contentType] = "application/json"
      post.headerFields[.init("X-Nothing")!] = ""
      return try await client.send(post, body: RequestBody(chunks: [Array("{\"a\":".utf8), [], Array("1}".utf8)]))
    }
    #expect(response.head.status.code == 201)
    #expect(response.head.headerFields[values: .init("X-Colour")!] == ["blue", "green"])
    #expect(response.head.headerFields[.init("X-Empty")!] == "")
    #expect(response.body == Array("made".utf8))
    #expect(response.observation.bodyBytesHandedOver == 7)
    #expect(response.observation.delivery == .answered)
    let seen = try #require(server.requests.first)
    #expect(seen.head.hasPrefix("POST /a/b?c=%20d HTTP/1.1\r\n"))
    #expect(seen.body == Array("{\"a\":1}".utf8))
    let lines = seen.head.split(separator: "\r\n").dropFirst().map { $0.lowercased() }.sorted()
    #expect(
      lines == ["content-length: 7", "content-type: application/json", "host: \(server.authority)", "x-nothing:"])
  }

  @Test(
    "Each method is sent as itself, with a body only where it has one",
    arguments: ["GET", "PUT", "DELETE", "PATCH", "POST", "OPTIONS"])
  func methods(_ name: String) async throws {
    let server = try ScriptedServer { peer in while peer.readRequest() != nil { peer.answer() } }
    try await withClient { client, _ in
      // Twice with something else between, so that nothing stays on a handle that is used again.
      for _ in 0..<2 {
        _ = try await client.send(request(.init(name)!, server.authority))
        _ = try await client.send(request(.post, server.authority), body: RequestBody([1, 2, 3]))
      }
    }
    #expect(server.requests.map { String($0.head.prefix { $0 != " " }) } == [name, "POST", name, "POST"])
    #expect(server.requests.map(\.body.count) == [0, 3, 0, 3])
  }

  @Test("A HEAD brings the fields and no body")
  func head() async throws {
    let server = try ScriptedServer { peer in
      while peer.readRequest() != nil { peer.write("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n") }
    }
    let response = try await withClient { client, _ in
      _ = try await client.send(request(.head, server.authority))
      return try await client.send(request(.head, server.authority))
    }
    #expect(response.body.isEmpty)
    #expect(response.head.headerFields[.contentLength] == "12")
  }

  @Test("Requests one after another share a connection")
  func reuse() async throws {
    let server = try ScriptedServer { peer in while peer.readRequest() != nil { peer.answer() } }
    let reused = try await withClient { client, _ in
      var reused: [Bool] = []
      for _ in 0..<5 {
        let response = try await client.send(request(.post, server.authority), body: RequestBody([1]))
        reused.append(response.observation.connectionWasReused)
      }
      return reused
    }
    #expect(server.connections == 1)
    #expect(reused == [false, true, true, true, true])
  }

  @Test("An interim answer is passed over and a chunked body with trailers is put together")
  func interimAndChunked() async throws {
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      peer.write(
        "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Late: 2\r\n\r\n"
      )
      peer.write("3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n")
    }
    let response = try await withClient { client, _ in try await client.send(request(.get, server.authority)) }
    #expect(response.head.headerFields[.init("X-Early")!] == nil)
    #expect(response.head.headerFields[.init("X-Late")!] == "2")
    #expect(response.head.headerFields[.init("X-Trailer")!] == nil)
    #expect(response.body == Array("abcde".utf8))
  }

  @Test("A redirect and a cookie are given back, not acted on")
  func redirectAndCookie() async throws {
    let server = try ScriptedServer { peer in
      while peer.readRequest() != nil {
        peer.answer("302 Found", headers: "Location: /elsewhere\r\nSet-Cookie: a=b\r\n")
      }
    }
    let status = try await withClient { client, _ in
      _ = try await client.send(request(.get, server.authority))
      return try await client.send(request(.get, server.authority)).head.status.code
    }
    #expect(status == 302)
    #expect(server.requests.count == 2)
    #expect(server.requests.allSatisfy { !$0.head.lowercased().contains("cookie") })
  }

  @Test("A large body in both directions arrives whole")
  func largeBodies() async throws {
    let server = try ScriptedServer { peer in
      guard let request = peer.readRequest() else { return }
      peer.write("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.count)\r\n\r\n")
      peer.write(request.body)
    }
    let body = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    let echoed = try await withClient { client, _ in
      var options = HTTPSClient.Options()
      options.maxBodyBytes = 5_000_000
      return try await client.send(
        request(.post, server.authority),
        body: RequestBody(chunks: [Array(body[..<100_001]), Array(body[100_001...])]), options: options)
    }
    #expect(echoed.body == body)
  }
}
