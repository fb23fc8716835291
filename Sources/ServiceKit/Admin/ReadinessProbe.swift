internal import CLinux
internal import EventLoop
internal import Glibc

/// Asks a running process on this machine whether it is ready, for health checks of images that have no `curl`.
///
/// - Returns: an exit status.
func probeReadiness(at address: ListenAddress) -> Int32 {
  do {
    let status = try statusLine(of: "/readyz", at: address)
    print(status)
    return status.split(separator: " ").dropFirst().first == "200" ? 0 : 1
  } catch {
    printError("not reachable at \(address): \(error)")
    return 1
  }
}

private func statusLine(of path: String, at address: ListenAddress) throws -> String {
  let target: SocketAddress
  switch address {
  case .unix(let path): target = try SocketAddress(path: path)
  case .hostPort(let host, let port):
    let isAny = ["", "0.0.0.0", "::", "localhost"].contains(host)
    target = try SocketAddress(numericHost: isAny ? (host == "::" ? "::1" : "127.0.0.1") : host, port: port)
  }
  let socket = try Socket.connecting(to: target)
  defer { socket.close() }
  try wait(socket, POLLOUT)
  if let error = socket.connectError(to: target) { throw error }
  let request = Array("GET \(path) HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".utf8)
  _ = try request.withUnsafeBytes { bytes throws(SystemError) in try socket.send(bytes) }
  var text: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1_024)
  while !text.contains(0x0D) {
    try wait(socket, POLLIN)
    let got = try systemCall("read", { read(socket.descriptor, &buffer, buffer.count) })
    if got == 0 { break }
    text += buffer[..<got]
  }
  return String(decoding: text.prefix { $0 != 0x0D }, as: UTF8.self)
}

private func wait(_ socket: Socket, _ events: Int32) throws {
  var watched = pollfd(fd: socket.descriptor, events: Int16(events), revents: 0)
  guard try systemCall("poll", { poll(&watched, 1, 2_000) }) == 1 else { throw SystemError("poll", ETIMEDOUT) }
}
