internal import EventLoop
internal import Glibc
package import HTTPServer
internal import HTTPTypes
internal import Logging
internal import CoreMetrics

/// What a process has once, on its first loop: signals and the admin port.
final class ProcessFront {
  private let signals: SignalWatch
  private let admin: HTTPServer

  static func start(on loop: ServiceLoop, _ life: ProcessLife) async throws -> ProcessFront {
    let signals = try SignalWatch(on: loop.reactor) { signal in
      guard !life.stop.isOpen else {
        // The second signal: whoever sends it has waited enough. Its default action ends the process.
        SignalWatch.obey(signal)
        return
      }
      life.logger.info("draining", metadata: ["signal": "\(String(cString: strsignal(signal)))"])
      life.readiness.drain()
      life.stop.open()
    }
    let reactor = loop.reactor
    let routes = AdminRoutes(readiness: life.readiness, metrics: life.metrics)
    let admin = HTTPServer(on: loop.reactor) { request in
      let path = request.head.path.map { String($0.prefix { $0 != "?" }) } ?? ""
      if let page = RPCPage(path: path), [.get, .head].contains(request.head.method) {
        return HTTPServerResponse(page.answer(await life.reports.gather(on: reactor)))
      }
      return HTTPServerResponse(routes.answer(method: request.head.method.rawValue, path: path))
    }
    try admin.listen(try await life.common.adminListen.resolve(on: loop.reactor))
    return ProcessFront(signals: signals, admin: admin)
  }

  private init(signals: SignalWatch, admin: HTTPServer) {
    self.signals = signals
    self.admin = admin
  }

  /// Last of all: an orchestrator may ask for the health of a draining process.
  func close() {
    admin.close()
    signals.close()
  }
}

extension HTTPServerResponse {
  /// An answer of ``AdminRoutes``, which the edge gives on its public port too.
  package init(_ answer: AdminRoutes.Answer) {
    var headers: HTTPFields = [.contentType: answer.contentType, .cacheControl: "no-store"]
    if answer.status == 405 { headers[.allow] = "GET, HEAD" }
    self.init(HTTPResponse.Status(code: answer.status), headers: headers, body: answer.body)
  }
}
