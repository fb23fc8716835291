import EventLoop
import Glibc

/// A port of 127.0.0.1 that nobody else is given while this lives, whether anyone listens there or not.
final class HeldPort {
  let number: UInt16
  private let descriptor: Int32

  init() throws {
    // Held without listening, and shared with our servers, which set SO_REUSEPORT too.
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var one: Int32 = 1
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutableBytes(of: &address) { bytes in
      let address = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self)
      return setsockopt(socket, SOL_SOCKET, SO_REUSEPORT, &one, socklen_t(MemoryLayout<Int32>.size)) == 0
        && bind(socket, address, length) == 0 && getsockname(socket, address, &length) == 0
    }
    descriptor = socket
    number = UInt16(bigEndian: address.sin_port)
    guard isBound else { throw Failure() }
  }

  deinit { close(descriptor) }

  struct Failure: Error {}
}
