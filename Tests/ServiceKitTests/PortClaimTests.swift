import EventLoop
import Glibc
import Testing

@testable import ServiceKit

@Suite("A port that a process is about to listen at")
struct PortClaimTests {
  /// Two processes that started in the same instant both found the port free, and shared it.
  @Test("is held against the next process until it is released, and no other address is")
  func held() throws {
    let address = try SocketAddress(numericHost: "127.0.0.1", port: .random(in: 1 ... .max))
    for _ in 0..<2 {
      let claim = try #require(try PortClaim(address))
      let refusal = #expect(throws: SystemError.self) { try PortClaim(address) }
      #expect(refusal?.number == EADDRINUSE && refusal?.call == "bind \(address)")
      try PortClaim(SocketAddress(numericHost: "127.0.0.2", port: address.port))?.release()
      claim.release()
    }
  }

  @Test("is nobody's where the system chooses it, and a path has none")
  func unheld() throws {
    #expect(try PortClaim(SocketAddress(numericHost: "127.0.0.1", port: 0)) == nil)
    #expect(try PortClaim(SocketAddress(path: "/nowhere")) == nil)
  }
}
