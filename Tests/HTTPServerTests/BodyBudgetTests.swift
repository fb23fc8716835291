import Foundation
import Synchronization
import Testing

@testable import HTTPServer

extension ServerTests {
  @Suite("What bodies hold")
  struct BodyBudgetTests {
    /// A hundred requests of one caller that is allowed them held gigabytes.
    @Test("Bodies of a loop hold no more than they may: the largest that still comes gives way, with 503")
    func largest() async throws {
      let site = try await TestSite { $0.maxBodyBytes = 1 << 20 }
      func begin(_ client: RawClient, _ count: Int, of length: Int) {
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: \(length)\r\n\r\n")
        client.send([UInt8](repeating: UInt8(ascii: "a"), count: count))
      }
      let (large, small) = (try RawClient(port: site.port), try RawClient(port: site.port))
      begin(large, 700_000, of: 900_000)
      begin(small, 500_000, of: 500_003)
      #expect(large.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 503"))
      small.send("end")
      #expect(small.receive(until: "end").hasPrefix("HTTP/1.1 200"))
      #expect(site.limits.withLock { $0 } == ["request_bytes"])
      await site.stop()
    }

    @Test("What handlers have done with counts no more", arguments: ["/echo", "/ignore", "/count"])
    func givenBack(path: String) async throws {
      let site = try await TestSite { $0.maxBodyBytes = 1 << 20 }
      let client = try RawClient(port: site.port)
      for _ in 0..<4 {
        client.send("POST \(path) HTTP/1.1\r\nHost: h\r\nContent-Length: 400000\r\n\r\n")
        client.send([UInt8](repeating: UInt8(ascii: "a"), count: 399_998) + Array("\n.".utf8))
        let answer = client.receive(until: path == "/echo" ? "\n." : path == "/count" ? "400000" : "ignored")
        #expect(answer.hasPrefix("HTTP/1.1 200"))
        guard path != "/ignore" else { break }  // which closes the connection
      }
      #expect(site.limits.withLock { $0 } == [])
      await site.stop()
    }
  }
}
