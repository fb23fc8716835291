import EventLoop
import Foundation
import HTTP2Session
import HTTPTypes
import Synchronization
import TLSSession
import Testing
import Transport

@testable import HTTPServer

extension ServerTests {
  @Suite("HTTP/2 server")
  struct HTTP2ServerTests {
    @Test("curl speaks h2c by prior knowledge: get, upload, large upload, stream")
    func curl() async throws {
      let site = try await TestSite()
      let base = "http://127.0.0.1:\(site.port)"
      let options = ["-sS", "--http2-prior-knowledge"]
      #expect(try await run("curl", options + ["\(base)/hello"]).output == "hello http2\n")
      #expect(try await run("curl", options + ["-d", "abc", "\(base)/echo"]).output == "abc")
      #expect(try await run("curl", options + ["-I", "\(base)/none"]).output.hasPrefix("HTTP/2 204"))
      let file = FileManager.default.temporaryDirectory.appendingPathComponent("h2-\(UUID().uuidString)")
      try Data(count: 5_000_000).write(to: file)
      defer { try? FileManager.default.removeItem(at: file) }
      #expect(try await run("curl", options + ["-T", file.path, "\(base)/count"]).output == "5000000")
      let stream = try await run("curl", options + ["-o", "/dev/null", "-w", "%{size_download}", "\(base)/stream"])
      #expect(stream.output == "10000000")
      #expect(try await run("curl", options + ["\(base)/cut"]).status != 0)
      let refused = try await run(
        "curl", options + ["--data-binary", "@\(file.path)", "-w", "%{http_code}", "-o", "/dev/null", "\(base)/echo"])
      #expect(refused.output.hasPrefix("413"), "\(refused.output)")
      await site.stop()
    }

    @Test("HEAD tells the length of the body that it leaves out; what never has a body has no length")
    func lengths() async throws {
      let site = try await TestSite()
      let options = ["-sS", "--http2-prior-knowledge", "-D", "-"]
      func answer(_ more: String..., path: String) async throws -> String {
        try await run("curl", options + more + ["http://127.0.0.1:\(site.port)\(path)"]).output.lowercased()
      }
      let head = try await answer("-I", "-o", "/dev/null", path: "/hello")
      #expect(head.hasPrefix("http/2 200") && head.contains("content-length: 12\r\n"))
      let none = try await answer(path: "/none")
      #expect(none.hasPrefix("http/2 204") && !none.contains("content-length") && none.hasSuffix("\r\n\r\n"))
      await site.stop()
    }

    @Test("Many streams on a few connections all succeed (h2load)")
    func h2load() async throws {
      let site = try await TestSite()
      let result = try await run(
        "h2load", ["-n", "2000", "-c", "4", "-m", "50", "http://127.0.0.1:\(site.port)/hello"])
      #expect(result.output.contains("2000 succeeded, 0 failed, 0 errored"), "\(result.output)")
      await site.stop()
    }

    @Test("A handler is cancelled when its stream is reset")
    func cancellation() async throws {
      let site = try await TestSite()
      _ = try await run("curl", ["-sS", "--http2-prior-knowledge", "-m", "0.3", "http://127.0.0.1:\(site.port)/slow"])
      try await eventually { site.cancellations.withLock { $0 } == 1 }
      await site.stop()
    }

    @Test("Drain lets a stream in flight finish and says GOAWAY")
    func drain() async throws {
      let site = try await TestSite()
      async let answer = run("curl", ["-sS", "--http2-prior-knowledge", "http://127.0.0.1:\(site.port)/soon"])
      try await eventually { await site.loop.run { _ in site.connectionCount == 1 } }
      try await Task.sleep(for: .milliseconds(30))
      await site.drain(timeout: .seconds(5))
      #expect(try await answer.output == "soon")
      await site.stop()
    }

    /// It was cut off without a word, and its request failed.
    @Test(
      "A client amid its TLS handshake when a drain begins has its request answered", arguments: ["h2", "http/1.1"])
    func handshakeMeetsDrain(offered: String) async throws {
      let authority = try CertificateAuthority.make(commonName: "HTTP tests")
      let identity = try authority.issue(.init(commonName: "server", uris: ["spiffe://test/server"], days: 1))
        .identity()
      let context = try TLSServerContext(TLSServerSettings(identity: identity, protocols: ["h2", "http/1.1"]))
      let site = try await TestSite(tls: context)
      let roots = authority.certificate.pem
      try await site.loop.run { reactor in
        let trusted = TLSClientSettings(roots: .pem(.bytes(roots)), protocols: [offered])
        let client = OneRequest()
        let connection = try Connection.connect(
          to: SocketAddress(numericHost: "127.0.0.1", port: site.port),
          tls: (try TLSClientContext(trusted), .uri("spiffe://test/server")), on: reactor, delegate: client)
        client.connection = connection
        while site.connectionCount == 0 { await reactor.yield() }
        #expect(connection.isStarting)
        await site.server?.drain(timeout: .seconds(20))
        #expect(client.received.contains("hello http"))
      }
      await site.stop()
    }

    @Test("With a certificate, ALPN chooses the protocol; a client that offers none gets HTTP/1.1")
    func alpn() async throws {
      let authority = try CertificateAuthority.make(commonName: "HTTP tests")
      let request = CertificateAuthority.Request(
        commonName: "localhost", ipAddresses: ["127.0.0.1"], days: 1)
      let context = try TLSServerContext(
        TLSServerSettings(identity: try authority.issue(request).identity(), protocols: ["h2", "http/1.1"]))
      let site = try await TestSite(tls: context)
      let file = FileManager.default.temporaryDirectory.appendingPathComponent("ca-\(UUID().uuidString).pem")
      try Data(authority.certificate.pem).write(to: file)
      defer { try? FileManager.default.removeItem(at: file) }
      let options = ["-sS", "--cacert", file.path, "https://127.0.0.1:\(site.port)/hello"]
      #expect(try await run("curl", ["--http2"] + options).output == "hello http2\n")
      #expect(try await run("curl", ["--http1.1"] + options).output == "hello http11\n")
      #expect(try await run("curl", ["--no-alpn"] + options).output == "hello http11\n")
      await site.stop()
    }

    @Test(
      "A request names one host, as it may stand in Host",
      arguments: [("a", "A", 0x88), ("a", "b", 0x8C), ("u@a", nil, 0x8C), ("a", nil, 0x88)]
        as [(String, String?, UInt8)])
    func host(authority: String, host: String?, status: UInt8) async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0])
      var block: [UInt8] = [0x82, 0x86, 0x04, 0x06] + Array("/hello".utf8) + [0x41, UInt8(authority.utf8.count)]
      block += authority.utf8
      if let host { block += [0x00, 0x04] + Array("host".utf8) + [UInt8(host.utf8.count)] + Array(host.utf8) }
      client.send([0, 0, UInt8(block.count), 1, 5, 0, 0, 0, 1] + block)
      // The answer's HEADERS begin with `:status`, from the static table.
      var seen: [UInt8] = []
      let head: [UInt8] = [1, 4, 0, 0, 0, 1]
      while seen.firstRange(of: head + [status]) == nil, let more = client.receive(), !more.isEmpty { seen += more }
      #expect(seen.firstRange(of: head).map { seen[$0.upperBound] } == status)
      await site.stop()
    }

    @Test("Rapid reset: the connection ends, others are served")
    func rapidReset() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0])
      let block: [UInt8] = [0x82, 0x86, 0x04, 0x05] + Array("/slow".utf8) + [0x41, 0x01, 0x61]
      for index in 0..<600 {
        let id = UInt32(index * 2 + 1)
        let stream = [UInt8(id >> 24), UInt8(id >> 16 & 255), UInt8(id >> 8 & 255), UInt8(id & 255)]
        client.send(
          [0, 0, UInt8(block.count), 1, 5] + stream + block + [0, 0, 4, 3, 0] + stream + [0, 0, 0, 8])
      }
      _ = client.receiveAll()
      try await eventually { site.limits.withLock { $0.contains("http2_peer_resets") } }
      #expect(try await run("curl", ["-sS", "http://127.0.0.1:\(site.port)/hello"]).output == "hello http11\n")
      await site.stop()
    }

    @Test(
      "Answers that a client opens no window for hold no more than a connection may, and than a loop may",
      arguments: [true, false])
    func unsentBytes(onConnection: Bool) async throws {
      let site = try await TestSite {
        $0.http2.maxPendingBytes = onConnection ? 4 << 20 : nil
        $0.maxUnsentBytes = onConnection ? .max : 4 << 20
      }
      let client = try RawClient(port: site.port)
      // INITIAL_WINDOW_SIZE 0.
      client.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0])
      let block: [UInt8] = [0x82, 0x86, 0x04, 0x06] + Array("/large".utf8) + [0x41, 0x01, 0x61]
      for id in 0..<12 as Range<UInt8> {
        client.send([0, 0, UInt8(block.count), 1, 5, 0, 0, 0, id * 2 + 1] + block)
      }
      try await eventually { site.limits.withLock { $0.count } == 8 }
      #expect(site.limits.withLock { $0.allSatisfy { $0 == "http2_response_bytes" } })
      await site.stop()
    }

    /// Slower than the bound on resets, which therefore sees nothing.
    @Test("Handlers that heed no cancellation are no more than the streams, however often those are reset")
    func runningHandlers() async throws {
      let site = try await TestSite { $0.http2.maxConcurrentStreams = 4 }
      let client = try RawClient(port: site.port)
      client.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0])
      let block: [UInt8] = [0x82, 0x86, 0x04, 0x09] + Array("/stubborn".utf8) + [0x41, 0x01, 0x61]
      func request(_ stream: UInt8) { client.send([0, 0, UInt8(block.count), 1, 5, 0, 0, 0, stream] + block) }
      for number in 1...4 {
        let stream = UInt8(2 * number - 1)
        request(stream)
        try await eventually { site.stubborn.withLock { $0.running } == number }
        client.send([0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 8])
      }
      #expect(site.limits.withLock { $0 } == [])
      request(9)
      try await eventually { site.limits.withLock { $0 } == ["http2_running_handlers"] }
      // RST_STREAM with REFUSED_STREAM.
      var seen: [UInt8] = []
      let refusal: [UInt8] = [0, 0, 4, 3, 0, 0, 0, 0, 9, 0, 0, 0, 7]
      while seen.firstRange(of: refusal) == nil, let more = client.receive(), !more.isEmpty { seen += more }
      #expect(seen.firstRange(of: refusal) != nil)
      #expect(site.stubborn.withLock { $0.running } == 4)
      site.stubborn.withLock { $0.mayEnd = true }
      try await eventually { site.stubborn.withLock { $0.running } == 0 }
      await site.stop()
    }

    /// All of it was lost.
    @Test("A client that ends its side gets what is ready and what its handlers, which are cancelled, still answer")
    func halfClosed() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      // Windows for all of it: INITIAL_WINDOW_SIZE, and the connection's.
      client.send(
        Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]
          + [0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0])
      for (number, path) in (["/slow", "/stubborn"] + Array(repeating: "/large", count: 8)).enumerated() {
        let block: [UInt8] = [0x82, 0x86, 0x04, UInt8(path.utf8.count)] + Array(path.utf8) + [0x41, 0x01, 0x61]
        client.send([0, 0, UInt8(block.count), 1, 5, 0, 0, 0, UInt8(2 * number + 1)] + block)
      }
      try await eventually { site.stubborn.withLock { $0.running } == 1 }
      client.endSending()
      try await eventually { site.cancellations.withLock { $0 } == 1 }
      site.stubborn.withLock { $0.mayEnd = true }
      var seen: [UInt8] = []
      while let more = client.receive(), !more.isEmpty { seen += more }
      let rest = seen.filter { $0 != UInt8(ascii: "x") }
      #expect(seen.count - rest.count >= 8 << 20)
      let words = String(decoding: rest, as: UTF8.self)
      #expect(words.contains("at last") && words.contains("internal error"))
      try await eventually { await site.loop.run { _ in site.connectionCount == 0 } }
      #expect(site.limits.withLock { $0 } == [])
      await site.stop()
    }

    @Test("A client that has ended its side and left no window is not waited for")
    func halfClosedWithoutWindow() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      // INITIAL_WINDOW_SIZE 0.
      client.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0])
      let block: [UInt8] = [0x82, 0x86, 0x04, 0x06] + Array("/large".utf8) + [0x41, 0x01, 0x61]
      client.send([0, 0, UInt8(block.count), 1, 5, 0, 0, 0, 1] + block)
      client.endSending()
      var last: [UInt8]? = []
      repeat { last = client.receive() } while last?.isEmpty == false
      #expect(last == [])
      await site.stop()
    }

    @Test("A body that trickles in is refused with 408")
    func slowBody() async throws {
      let site = try await TestSite { $0.bodyWindow = .milliseconds(100) }
      let client = try RawClient(port: site.port)
      client.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0])
      let block: [UInt8] = [0x83, 0x86, 0x04, 0x05] + Array("/echo".utf8) + [0x41, 0x01, 0x61]
      client.send([0, 0, UInt8(block.count), 1, 4, 0, 0, 0, 1] + block + [0, 0, 1, 0, 0, 0, 0, 0, 1, 0x78])
      try await eventually { site.limits.withLock { $0 } == ["body_rate"] }
      await site.stop()
    }
  }
}

/// Asks for `/hello` as soon as it is connected, and goes when it has the answer.
private final class OneRequest: ConnectionDelegate {
  weak var connection: Connection?
  private(set) var received = ""

  func connectionReady() {
    let isHTTP2 = connection?.negotiatedProtocol == "h2"
    let block: [UInt8] = [0x82, 0x87, 0x04, 0x06] + Array("/hello".utf8) + [0x41, 0x01, 0x61]
    connection?.write(
      isHTTP2
        ? Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
          + [0, 0, UInt8(block.count), 1, 5, 0, 0, 0, 1] + block
        : Array("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
  }

  func received(_ bytes: UnsafeRawBufferPointer) {
    received += String(decoding: bytes, as: UTF8.self)
    if received.contains("hello http") { connection?.close() }
  }

  func readClosed() { connection?.close() }
  func closed(_ error: (any Error)?) {}
}
