import Foundation
import Synchronization

/// A web server whose answers a test has written down, one request a connection. For what no stand-in plays: throttling,
/// the container endpoint, instance metadata.
final class CannedServer: Sendable {
  struct Request: Sendable {
    let method: String
    let path: String
    let head: String
    let body: String
  }

  typealias Answer = (status: Int, body: String)

  let port: UInt16
  var url: String { "http://127.0.0.1:\(port)" }
  private let fd: Int32
  private let seen = Mutex<[Request]>([])

  var requests: [Request] { seen.withLock { $0 } }

  init(_ answer: @escaping @Sendable (Request, _ number: Int) -> Answer) throws {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(fd, $0, length) == 0 && listen(fd, 16) == 0 && getsockname(fd, $0, &length) == 0
      }
    }
    guard isListening else { throw CocoaError(.fileReadUnknown) }
    self.fd = fd
    port = UInt16(bigEndian: address.sin_port)
    Thread.detachNewThread { [self] in
      while true {
        let connection = accept(fd, nil, nil)
        if connection < 0 { return }
        serve(connection, answer)
        close(connection)
      }
    }
  }

  func stop() {
    shutdown(fd, Int32(SHUT_RDWR))
    close(fd)
  }

  private func serve(_ connection: Int32, _ answer: (Request, Int) -> Answer) {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let text = String(decoding: bytes, as: UTF8.self)
      if let end = text.range(of: "\r\n\r\n") {
        let head = String(text[..<end.lowerBound])
        let length = head.lowercased().firstRange(of: "content-length: ").map {
          Int(head[$0.upperBound...].prefix { $0.isNumber }) ?? 0
        }
        let body = String(text[end.upperBound...])
        if body.utf8.count >= length ?? 0 {
          let parts = head.split(separator: " ", maxSplits: 2)
          let request = Request(method: String(parts[0]), path: String(parts[1]), head: head, body: body)
          let number = seen.withLock {
            $0.append(request)
            return $0.count
          }
          let (status, content) = answer(request, number)
          let response =
            "HTTP/1.1 \(status) X\r\ncontent-length: \(content.utf8.count)\r\nconnection: close\r\n\r\n\(content)"
          _ = Array(response.utf8).withUnsafeBytes {
            send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
          }
          return
        }
      }
      let count = recv(connection, &buffer, buffer.count, 0)
      if count <= 0 { return }
      bytes += buffer[..<count]
    }
  }
}
