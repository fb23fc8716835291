import EventLoop
import Glibc
import TestSupport
import Testing

@testable import ServiceKit

@Suite("Large mail")
struct LargeMailTests {
  @Test(
    "what many bytes cost is done beside the loop, and what few cost on it",
    arguments: [(1 << 10, true), (1 << 20, false)])
  func beside(bytes: Int, isOnLoop: Bool) async throws {
    let (loop, worker) = try await onLoop { reactor in
      (pthread_self(), try await LargeMail.work(bytes: bytes, on: reactor) { pthread_self() })
    }
    #expect((loop == worker) == isOnLoop)
  }

  @Test("an error comes back as it was thrown", arguments: [1 << 10, 1 << 20])
  func error(bytes: Int) async throws {
    struct Wrong: Error, Equatable {}
    await #expect(throws: Wrong()) {
      try await onLoop { reactor in try await LargeMail.work(bytes: bytes, on: reactor) { throw Wrong() } }
    }
  }
}
