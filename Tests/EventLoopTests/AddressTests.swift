import Glibc
import Testing

@testable import EventLoop

@Suite struct AddressTests {
  @Test(
    "listen addresses are parsed to the letter",
    arguments: [
      ("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:8080", "[::1]:8080"), ("*:1", ":1"), (":1", ":1"),
      ("unix:/tmp/s", "unix:/tmp/s"), ("localhost:65535", "localhost:65535"),
    ])
  func listenAddress(text: String, described: String) throws {
    #expect(try ListenAddress(text).description == described)
  }

  @Test("what is no listen address is refused", arguments: ["", "80", "::1:80", "a:65536", "a:", "unix:", "a:-1"])
  func badListenAddress(text: String) {
    #expect(throws: SocketAddressError.self) { try ListenAddress(text) }
  }

  @Test("a socket path has at most 107 bytes")
  func pathLimit() throws {
    #expect(try SocketAddress(path: String(repeating: "a", count: 107)).host.count == 107)
    #expect(throws: SocketAddressError.self) { try SocketAddress(path: String(repeating: "a", count: 108)) }
  }

  @Test("an abstract name has at most 107 bytes")
  func abstractLimit() throws {
    #expect(try SocketAddress(abstractName: String(repeating: "a", count: 107)).host.utf8.count == 108)
    for name in ["", "a\0b", String(repeating: "a", count: 108)] {
      #expect(throws: SocketAddressError.self) { try SocketAddress(abstractName: name) }
    }
  }

  @Test("a server in the abstract namespace is reached by its name, and by no name that begins with it")
  func abstractName() throws {
    let name = "emailmcp-\(UInt64.random(in: 0 ... .max))"
    let listener = try Socket.listening(on: SocketAddress(abstractName: name))
    defer { listener.close() }
    #expect(listener.localAddress()?.description == "unix-abstract:\(name)")
    try Socket.connecting(to: SocketAddress(abstractName: name)).close()
    #expect(try listener.accept() != nil)
    #expect(throws: SystemError.self) { try Socket.connecting(to: SocketAddress(abstractName: name + "a")) }
  }

  @Test("localhost resolves to loopback, an unknown name to a clear error")
  func resolution() async throws {
    let loop = try EventLoop.start(name: "test")
    let addresses = try await loop.run { try await $0.resolve(host: "localhost", port: 80) }
    #expect(!addresses.isEmpty && addresses.allSatisfy(\.isLoopback))
    await #expect(throws: SocketAddressError.self) {
      try await loop.run { try await $0.resolve(host: "no-such-host.invalid", port: 80) }
    }
    await loop.shutdown()
  }

  /// The other loops of a server could not listen where the first one did.
  @Test("a link-local address keeps its interface when it is written and read again")
  func linkLocal() async throws {
    let loop = try EventLoop.start(name: "test")
    let (first, again) = try await loop.run { reactor in
      let first = try await ListenAddress("[fe80::1%lo]:80").resolve(on: reactor)
      return (first, try await ListenAddress("\(first)").resolve(on: reactor))
    }
    #expect(first.description == "[fe80::1%1]:80")
    #expect(again == first)
    await loop.shutdown()
  }

  @Test("a bound address survives the way through the kernel", arguments: ["127.0.0.1", "::1"])
  func boundAddress(host: String) throws {
    let socket = try Socket.listening(on: SocketAddress(numericHost: host, port: 0))
    defer { socket.close() }
    let bound = try #require(socket.localAddress())
    #expect(bound.host == host)
    #expect(bound.port != 0)
    #expect(throws: SystemError.self) { try Socket.requireUnused(bound) }
  }

  @Test("a file that is no socket is not removed where a server is to listen")
  func occupiedPath() throws {
    let path = "/tmp/emailmcp-\(UInt64.random(in: 0 ... .max))"
    let file = open(path, O_CREAT | O_WRONLY, 0o600)
    defer {
      close(file)
      unlink(path)
    }
    #expect(throws: SystemError.self) { try Socket.listening(on: SocketAddress(path: path)) }
    #expect(access(path, F_OK) == 0)
  }

  @Test("back-off grows by its factor up to its limit, within its jitter")
  func backoff() {
    var backoff = Backoff()
    #expect(backoff.next(random: 0.5) == .seconds(1))
    #expect(backoff.next(random: 0.5) == .milliseconds(1600))
    #expect(backoff.next(random: 0) == .milliseconds(2048))
    for _ in 0..<100 { _ = backoff.next() }
    #expect(backoff.next(random: 0.5) == .seconds(120))
    backoff.reset()
    #expect(backoff.next(random: 0.5) == .seconds(1))
  }
}
