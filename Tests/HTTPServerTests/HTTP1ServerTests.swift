import EventLoop
import Foundation
import HTTPTypes
import Synchronization
import Testing

@testable import HTTPServer

/// One after the other: their blocking sockets would hold up each other's threads.
@Suite("Servers", .serialized) enum ServerTests {}

extension ServerTests {
  @Suite("HTTP/1.1 server")
  struct HTTP1ServerTests {
    @Test("Pipelined requests are answered in order on one connection")
    func pipelining() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send(
        "GET /soon HTTP/1.1\r\nHost: h\r\n\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
          + "HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
      let text = client.receiveAll()
      let parts = text.components(separatedBy: "HTTP/1.1 ")
      #expect(parts.count == 5)
      #expect(parts[1].hasPrefix("200 OK\r\n") && parts[1].hasSuffix("\r\n\r\nsoon"))
      #expect(parts[2].hasSuffix("\r\n\r\nabc") && parts[2].contains("Content-Length: 3\r\n"))
      #expect(parts[3].contains("Content-Length: 13\r\n") && parts[3].hasSuffix("\r\n\r\n"))
      #expect(parts[4].hasPrefix("204 No Content\r\n") && !parts[4].contains("Content-Length"))
      #expect(parts[4].contains("Connection: close\r\n") && parts[4].contains("Date: "))
      await site.stop()
    }

    @Test("A refused request gets its status and the connection ends")
    func refusals() async throws {
      let site = try await TestSite()
      for (text, status) in [
        ("GET / HTTP/3.0\r\n\r\n", "505"), ("GET /\(String(repeating: "a", count: 9000)) HTTP/1.1\r\n", "414"),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: \(String(repeating: "a", count: 17000))", "431"), ("nonsense\r\n", "400"),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\n\r\n", "413"),
      ] {
        let client = try RawClient(port: site.port)
        client.send(text)
        #expect(client.receiveAll().hasPrefix("HTTP/1.1 \(status) "), "\(text.prefix(40))")
      }
      await site.stop()
    }

    @Test("A malformed chunk reaches the handler as an error, and the connection ends")
    func malformedChunk() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX")
      let text = client.receiveAll()
      #expect(text.hasPrefix("HTTP/1.1 400 ") && text.contains("Connection: close\r\n"))
      await site.stop()
    }

    @Test("100 Continue is said when the handler reads, and not when it does not")
    func expectContinue() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
      #expect(client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
      client.send("abc")
      #expect(client.receive(until: "abc").hasPrefix("HTTP/1.1 200 OK\r\n"))
      client.send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
      let text = client.receiveAll()
      #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n") && text.contains("Connection: close\r\n"))
      await site.stop()
    }

    @Test("A small unread body is dropped and the connection kept; a large one ends it")
    func unreadBody() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
      #expect(!client.receive(until: "ignored").contains("Connection: close"))
      client.send("0123456789GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
      #expect(client.receive(until: "http11").hasPrefix("HTTP/1.1 200"))
      client.send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
      #expect(client.receiveAll().contains("Connection: close\r\n"))
      await site.stop()
    }

    @Test("A streamed body is chunked, complete, and waits for a slow reader")
    func streaming() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port, receiveBuffer: 4096)
      client.send("GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
      let text = client.receiveAll()
      #expect(text.contains("Transfer-Encoding: chunked\r\n"))
      #expect(text.utf8.count { $0 == UInt8(ascii: "x") } == 10_000_000 + 1)  // one in "text/plain"
      #expect(text.hasSuffix("\r\n0\r\n\r\n"))
      await site.stop()
    }

    @Test("A streamed body that fails is visibly cut short")
    func cutStream() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n")
      #expect(!client.receiveAll().hasSuffix("0\r\n\r\n"))
      await site.stop()
    }

    @Test("A body larger than the buffers passes through back-pressure")
    func largeBody() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send("POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n")
      client.send([UInt8](repeating: 1, count: 20_000_000))
      #expect(client.receive(until: "20000000").hasPrefix("HTTP/1.1 200"))
      await site.stop()
    }

    @Test("A handler is cancelled when its client goes away")
    func cancellation() async throws {
      let site = try await TestSite()
      do {
        let client = try RawClient(port: site.port)
        client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /hello HTTP/1.1\r\n")
      }
      try await eventually { site.cancellations.withLock { $0 } == 1 }
      await site.stop()
    }

    /// The connection stayed for ever: nothing was waited for any more.
    @Test("A client that goes with its answer before its whole request was read holds no connection")
    func goneBeforeTheRest() async throws {
      let site = try await TestSite()
      do {
        let client = try RawClient(port: site.port)
        client.send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nbegin")
        #expect(client.receive(until: "ignored").hasPrefix("HTTP/1.1 200"))
      }
      try await eventually { await site.loop.run { _ in site.connectionCount == 0 } }
      await site.stop()
    }

    @Test("Silent, dawdling and trickling clients are sent away, each by its own limit")
    func timeouts() async throws {
      let site = try await TestSite {
        $0.headerTimeout = .milliseconds(100)
        $0.idleTimeout = .milliseconds(100)
        $0.bodyWindow = .milliseconds(100)
      }
      let silent = try RawClient(port: site.port)
      #expect(silent.receive() == [])
      let dawdling = try RawClient(port: site.port)
      dawdling.send("GET / HTTP/1.1\r\nHo")
      #expect(dawdling.receiveAll().hasPrefix("HTTP/1.1 408 "))
      let trickling = try RawClient(port: site.port)
      trickling.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc")
      #expect(trickling.receiveAll().hasPrefix("HTTP/1.1 408 "))
      let idle = try RawClient(port: site.port)
      idle.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
      #expect(idle.receiveAll().hasSuffix("http11\n"))
      #expect(site.limits.withLock { $0 } == ["header_timeout", "body_rate"])
      await site.stop()
    }

    @Test("A client that does not read is cut off")
    func writeStall() async throws {
      let site = try await TestSite { $0.stallTimeout = .milliseconds(200) }
      let client = try RawClient(port: site.port, receiveBuffer: 4096)
      client.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
      try await eventually { site.limits.withLock { $0 } == ["write_stall"] }
      await site.stop()
    }

    /// Any byte in the time was enough.
    @Test("A client that reads hardly anything is cut off")
    func trickledReading() async throws {
      let site = try await TestSite {
        $0.sweepInterval = .seconds(3600)  // the test looks itself
        $0.stallTimeout = .seconds(1_000_000)  // in which 64 MB should leave
      }
      let client = try RawClient(port: site.port, receiveBuffer: 4096)
      client.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
      try await eventually { await site.waitingBytes > 0 }
      await site.check(after: .zero)
      let sent = await site.sentBytes
      while await site.sentBytes == sent, client.receive() != nil {}
      try await eventually { await site.waitingBytes > 0 }
      await site.check(after: .seconds(500_000))
      #expect(site.limits.withLock { $0 }.isEmpty)
      await site.check(after: .seconds(1_000_001))
      #expect(site.limits.withLock { $0 } == ["write_stall"])
      await site.stop()
    }

    @Test("A client that asks for more than it takes has one answer wait, and gets all in the end")
    func pipelinedLargeAnswers() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port, receiveBuffer: 4096)
      client.send(String(repeating: "GET /large HTTP/1.1\r\nHost: h\r\n\r\n", count: 12))
      try await eventually { await site.waitingBytes > 0 }
      var (received, peak) = (0, 0)
      while received < 12 << 20, let part = client.receive(1 << 20), !part.isEmpty {
        received += part.count { $0 == UInt8(ascii: "x") }
        peak = max(peak, await site.waitingBytes)
      }
      #expect(received == 12 << 20)
      #expect(peak < 3 << 19)
      await site.stop()
    }

    @Test("An upload that stops while its answer is streamed ends the connection after the answer")
    func stoppedUpload() async throws {
      let site = try await TestSite { $0.bodyWindow = .milliseconds(100) }
      let client = try RawClient(port: site.port, receiveBuffer: 4096)
      client.send("POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
      try await eventually { site.limits.withLock { $0 } == ["body_rate"] }
      let text = client.receiveAll()
      #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n") && text.hasSuffix("\r\n0\r\n\r\n"))
      #expect(client.receive() == [])
      await site.stop()
    }

    @Test("When answers hold too much, those go whose client has taken hardly anything for five seconds")
    func unsentBytes() async throws {
      let site = try await TestSite {
        $0.sweepInterval = .seconds(1_000_000)
        $0.stallTimeout = .seconds(1_000_000)
        $0.maxUnsentBytes = 100_000
      }
      let client = try RawClient(port: site.port, receiveBuffer: 4096)
      client.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
      try await eventually { await site.waitingBytes > 100_000 }
      await site.check(after: .zero)
      let sent = await site.sentBytes
      while await site.sentBytes < sent + 320, client.receive() != nil {}
      try await eventually { await site.waitingBytes > 100_000 }
      await site.check(after: .seconds(1000))
      #expect(site.limits.withLock { $0 }.isEmpty)
      await site.check(after: .seconds(2000))
      #expect(site.limits.withLock { $0 } == ["response_bytes"])
      #expect(await site.waitingBytes == 0)
      await site.stop()
    }

    @Test("Drain finishes what is in flight, ends idle connections and takes no new ones")
    func drain() async throws {
      let site = try await TestSite()
      let busy = try RawClient(port: site.port)
      let idle = try RawClient(port: site.port)
      idle.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
      _ = idle.receive(until: "http11")
      busy.send("GET /soon HTTP/1.1\r\nHost: h\r\n\r\n")
      try await eventually { site.begun.withLock { $0 } == 1 }
      await site.drain(timeout: .seconds(30))
      let text = busy.receiveAll()
      #expect(text.hasSuffix("soon") && text.contains("Connection: close\r\n"))
      #expect(idle.receive() == [])
      #expect(throws: (any Error).self) { try RawClient(port: site.port) }
      await site.stop()
    }

    @Test("Drain waits a moment, and no longer, for the first request of a client that has just connected")
    func drainFresh() async throws {
      let site = try await TestSite()
      let (quick, silent) = (try RawClient(port: site.port), try RawClient(port: site.port))
      try await eventually { await site.loop.run { _ in site.connectionCount == 2 } }
      async let drained = site.loop.run { reactor in
        let drained = reactor.spawn { await site.server?.drain(timeout: .seconds(60)) }
        await reactor.yield()
        quick.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
        return await drained.result
      }
      let text = quick.receiveAll()
      #expect(text.contains("hello http11") && text.contains("Connection: close\r\n"))
      #expect(silent.receive() == [])
      _ = await drained
      await site.stop()
    }

    @Test("Drain does not wait longer than its limit")
    func drainLimit() async throws {
      let site = try await TestSite()
      let client = try RawClient(port: site.port)
      client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
      let hello = try RawClient(port: site.port)
      hello.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
      _ = hello.receive(until: "http11")
      await site.drain(timeout: .milliseconds(50))
      #expect(client.receive() == [])
      try await eventually { site.cancellations.withLock { $0 } == 1 }
      await site.stop()
    }

    @Test("curl is content: keep-alive, upload and chunked upload")
    func curl() async throws {
      let site = try await TestSite()
      let base = "http://127.0.0.1:\(site.port)"
      let first = try await run("curl", ["-sS", "\(base)/hello", "\(base)/hello", "-w", "%{num_connects}\n"])
      #expect(first.output == "hello http11\n1\nhello http11\n0\n")
      let upload = try await run("curl", ["-sS", "-d", "abc", "-H", "Transfer-Encoding: chunked", "\(base)/echo"])
      #expect(upload.output == "abc")
      await site.stop()
    }
  }

}

/// Waits for a condition that another thread brings about.
func eventually(_ condition: () async throws -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(5)
  while try await !condition() {
    guard ContinuousClock.now < deadline else {
      Issue.record("the condition did not come true")
      return
    }
    await Task.yield()
    try await Task.sleep(for: .milliseconds(2))
  }
}
