import CLinux
import Glibc

/// The socket calls, in one place. A value: whoever holds the descriptor closes it.
package struct Socket: Sendable, Hashable {
  package let descriptor: Int32

  package enum Transfer: Sendable, Hashable {
    case bytes(Int)
    case wouldBlock
  }

  // MARK: Servers

  /// A listening socket. Several of one process may listen on one TCP address (`SO_REUSEPORT`), one a loop: the kernel
  /// spreads the connections. A path is bound once, and the stale socket file of a dead process is taken over.
  package static func listening(on address: SocketAddress, backlog: Int32 = 1024) throws(SystemError) -> Socket {
    let socket = Socket(descriptor: try systemCall("socket") { clinux_socket(address.domain) })
    do throws(SystemError) {
      if address.family == .unix {
        try socket.removeStalePath(address)
      } else {
        try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
        try socket.set(SOL_SOCKET, SO_REUSEPORT, 1)
        // The unspecified IPv6 address also serves IPv4, whatever net.ipv6.bindv6only says.
        if address.family == .ipv6 { try socket.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, address.host == "::" ? 0 : 1) }
      }
      try systemCall("bind \(address)") { address.withSockaddr { bind(socket.descriptor, $0, $1) } }
      try systemCall("listen") { listen(socket.descriptor, backlog) }
      return socket
    } catch {
      socket.close()
      throw error
    }
  }

  private func removeStalePath(_ address: SocketAddress) throws(SystemError) {
    let probe = try systemCall("socket") { clinux_socket(AF_UNIX) }
    defer { Glibc.close(probe) }
    let answer = address.withSockaddr { Glibc.connect(probe, $0, $1) }
    let isRefused = answer == -1 && errno == ECONNREFUSED
    // A file that is no socket refuses too, and is not ours to remove.
    var status = stat()
    if isRefused, lstat(address.host, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(address.host) }
  }

  /// See ``ListenAddress/requireUnused(on:)``. A path is bound once anyway.
  package static func requireUnused(_ address: SocketAddress) throws(SystemError) {
    guard address.family != .unix else { return }
    let socket = Socket(descriptor: try systemCall("socket") { clinux_socket(address.domain) })
    defer { socket.close() }
    try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
    if address.family == .ipv6 { try socket.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, address.host == "::" ? 0 : 1) }
    try systemCall("bind \(address)") { address.withSockaddr { bind(socket.descriptor, $0, $1) } }
  }

  /// The next connection, or nil when none waits.
  package func accept() throws(SystemError) -> (Socket, peer: SocketAddress)? {
    while true {
      var storage = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let accepted = clinux_accept(descriptor, &storage, &length)
      if accepted >= 0 {
        let socket = Socket(descriptor: accepted)
        guard let peer = SocketAddress(&storage, length: length) else {
          socket.close()
          continue
        }
        return (socket, peer)
      }
      switch errno {
      case EAGAIN: return nil
      // The peer left before we came, or a network error of its own: accept(2) says to treat them like EAGAIN.
      case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, EPERM: continue
      default: throw SystemError("accept")
      }
    }
  }

  // MARK: Clients

  /// Begins to connect. The socket becomes writable when it is decided; then `connectError` tells.
  package static func connecting(to address: SocketAddress) throws(SystemError) -> Socket {
    let socket = Socket(descriptor: try systemCall("socket") { clinux_socket(address.domain) })
    let answer = address.withSockaddr { Glibc.connect(socket.descriptor, $0, $1) }
    if answer == -1, errno != EINPROGRESS, errno != EINTR {
      let error = SystemError("connect to \(address)")
      socket.close()
      throw error
    }
    return socket
  }

  /// The result of the attempt to connect: nil when it succeeded.
  package func connectError(to address: SocketAddress) -> SystemError? {
    let number = clinux_socket_error(descriptor)
    return number == 0 ? nil : SystemError("connect to \(address)", number)
  }

  // MARK: Both

  package func localAddress() -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let answer = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    return answer == 0 ? SocketAddress(&storage, length: length) : nil
  }

  /// Sends small writes at once: the loop gathers them itself, one write a tick.
  package func disableNagle() { _ = clinux_set_option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }

  /// Has the kernel give the connection up, with ETIMEDOUT, when the peer acknowledges nothing of what was sent, or keeps its
  /// window shut, for so long.
  package func limitSilence(to time: Duration) {
    let milliseconds = Int32(clamping: max(1, time.wholeNanoseconds / 1_000_000))
    _ = clinux_set_option(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, milliseconds)
  }

  /// `.bytes(0)` is the peer's orderly end.
  package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Transfer {
    while true {
      let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
      if count >= 0 { return .bytes(count) }
      if errno == EAGAIN { return .wouldBlock }
      if errno != EINTR { throw SystemError("recv") }
    }
  }

  package func send(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Transfer {
    while true {
      let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      if count >= 0 { return .bytes(count) }
      if errno == EAGAIN { return .wouldBlock }
      if errno != EINTR { throw SystemError("send") }
    }
  }

  /// Tells the peer that no more bytes come; reading goes on.
  package func shutdownWrite() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

  package func close() { _ = Glibc.close(descriptor) }

  private func set(_ level: Int32, _ option: Int32, _ value: Int32) throws(SystemError) {
    try systemCall("setsockopt") { clinux_set_option(descriptor, level, option, value) }
  }
}
