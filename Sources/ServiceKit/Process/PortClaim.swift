internal import CLinux
internal import EventLoop
internal import Glibc

/// Holds an address where the process is about to listen against others of ours that start in the same instant: between
/// the look whether anybody listens and the listening itself each would see nobody, and they would share the port.
///
/// A name that is no file (`unix(7)`, abstract sockets): it belongs to the network namespace, as ports do, and is free again
/// however the process ends.
struct PortClaim {
  private let descriptor: Int32

  /// Nil for a path, which is bound once anyway, and for any port that is free.
  ///
  /// - Throws: `SystemError` with EADDRINUSE while another process holds it.
  init?(_ address: SocketAddress) throws(SystemError) {
    guard address.family != .unix, address.port != 0 else { return nil }
    let descriptor = try systemCall("socket") { clinux_socket(AF_UNIX) }
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    let text = Array("\0emailmcp \(address)".utf8)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: text.prefix($0.count)) }
    let length = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + text.count)
    do throws(SystemError) {
      try systemCall("bind \(address)") {
        withUnsafePointer(to: &name) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
      }
    } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
  }

  /// When the process listens: from then on others see that.
  func release() { close(descriptor) }
}
