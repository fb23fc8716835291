import EventLoop

/// The loopback ports of a development system.
struct DevPorts {
  struct Service {
    var listen: UInt16
    var admin: UInt16
  }

  var edge = Service(listen: 8080, admin: 9100)
  var oauth = Service(listen: 7001, admin: 9101)
  var mailer = Service(listen: 7002, admin: 9102)
  var report = Service(listen: 7003, admin: 9103)
  var sandbox: UInt16 = 8090
  /// Always a free one: nobody types it.
  var postgres: UInt16

  subscript(service: String) -> Service {
    switch service {
    case "edge": edge
    case "oauth": oauth
    case "mailer": mailer
    default: report
    }
  }

  /// The documented ports.
  static func standard() throws -> DevPorts { DevPorts(postgres: try free(1)[0]) }

  /// Any free ones, for several systems on one machine.
  static func random() throws -> DevPorts {
    let ports = try free(10)
    return DevPorts(
      edge: Service(listen: ports[0], admin: ports[1]), oauth: Service(listen: ports[2], admin: ports[3]),
      mailer: Service(listen: ports[4], admin: ports[5]), report: Service(listen: ports[6], admin: ports[7]),
      sandbox: ports[8], postgres: ports[9])
  }

  /// - Throws: `DevError` that names the port in use and what wants it.
  func requireUnused() throws {
    let wanted: [(String, UInt16)] = [
      ("edge-service", edge.listen), ("edge-service's admin port", edge.admin), ("oauth-service", oauth.listen),
      ("oauth-service's admin port", oauth.admin), ("mailer-service", mailer.listen),
      ("mailer-service's admin port", mailer.admin), ("report-service", report.listen),
      ("report-service's admin port", report.admin), ("google-sandbox", sandbox),
    ]
    for (name, port) in wanted {
      do {
        try Socket.requireUnused(SocketAddress(numericHost: "127.0.0.1", port: port))
      } catch let error as SystemError {
        throw DevError("port \(port), for \(name), is not to be had (\(error)); free it, or use --random-ports")
      }
    }
  }

  /// Held all at once, so that no port comes twice.
  private static func free(_ count: Int) throws -> [UInt16] {
    var sockets: [Socket] = []
    defer { for socket in sockets { socket.close() } }
    return try (0..<count).map { _ in
      let socket = try Socket.listening(on: SocketAddress(numericHost: "127.0.0.1", port: 0))
      sockets.append(socket)
      return socket.localAddress()!.port
    }
  }
}
