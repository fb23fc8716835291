import EventLoop
import Foundation
import HTTPTypes
import Synchronization
import Testing

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
  }
}
