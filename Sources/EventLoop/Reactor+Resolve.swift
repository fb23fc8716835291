import CLinux
import Glibc

extension Reactor {
  /// Resolves a name by the system's resolver (`getaddrinfo`, beside the loop), in the order of RFC 6724.
  ///
  /// - Parameter pool: whose threads wait for the answer; nil: those that all share.
  /// - Throws: `SocketAddressError` when the name has no address; `CancellationError`.
  public func resolve(host: String, port: UInt16, on pool: BlockingPool? = nil) async throws -> [SocketAddress] {
    if let numeric = try? SocketAddress(numericHost: host, port: port) { return [numeric] }
    return try await offload(on: pool) { try Self.lookUp(host: host, port: port) }
  }

  private static func lookUp(host: String, port: UInt16) throws -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = Int32(AI_ADDRCONFIG)
    var list: UnsafeMutablePointer<addrinfo>?
    var failure = getaddrinfo(host, String(port), &hints, &list)
    if failure != 0 {
      // Without AI_ADDRCONFIG: on a machine that has only the loopback interface, "localhost" still resolves.
      hints.ai_flags = 0
      failure = getaddrinfo(host, String(port), &hints, &list)
    }
    guard failure == 0 else {
      throw SocketAddressError(message: "\"\(host)\" does not resolve: \(String(cString: gai_strerror(failure)))")
    }
    defer { freeaddrinfo(list) }
    var addresses: [SocketAddress] = []
    var next = list
    while let entry = next {
      var storage = sockaddr_storage()
      memcpy(&storage, entry.pointee.ai_addr, Int(entry.pointee.ai_addrlen))
      if let address = SocketAddress(&storage, length: entry.pointee.ai_addrlen), !addresses.contains(address) {
        addresses.append(address)
      }
      next = entry.pointee.ai_next
    }
    guard !addresses.isEmpty else { throw SocketAddressError(message: "\"\(host)\" has no usable address") }
    return addresses
  }
}
