import CLibCurl
import EventLoop

/// One of libcurl's descriptors, watched by the loop.
final class SocketWatch: ReadinessHandler {
  private let fd: Int32
  private weak var client: HTTPSClient?

  init(fd: Int32, client: HTTPSClient) {
    self.fd = fd
    self.client = client
  }

  func ready(_ readiness: Interest) {
    var events: Int32 = 0
    if readiness.contains(.readable) { events |= CURL_CSELECT_IN }
    if readiness.contains(.writable) { events |= CURL_CSELECT_OUT }
    if readiness.contains(.hangup) { events |= CURL_CSELECT_IN | CURL_CSELECT_ERR }
    client?.socketIsReady(fd, events: events)
  }
}
