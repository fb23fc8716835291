package import EventLoop
package import Logging

/// The settings that every process has.
package struct CommonSettings: Sendable {
  package let listen: ListenAddress
  package let adminListen: ListenAddress
  package let logLevel: Logger.Level
  package let logFormat: LogFormat
  package let drainTimeout: Duration
  package let loops: Int
  /// Nil: nothing is traced.
  package let tracing: TraceSettings?

  package init(
    _ settings: Settings, service: String, listen: String, adminListen: String, maximumLoops: Int, isTerminal: Bool
  ) {
    tracing = TraceSettings(settings, service: service)
    self.listen = settings.listenAddress("EMAILMCP_LISTEN", default: listen)
    self.adminListen = settings.listenAddress("EMAILMCP_ADMIN_LISTEN", default: adminListen)
    if self.listen == self.adminListen, !self.listen.isChosenBySystem {
      settings.fail("EMAILMCP_ADMIN_LISTEN", "is the address of EMAILMCP_LISTEN too")
    }
    logLevel = settings.choice("EMAILMCP_LOG_LEVEL", default: Logger.Level.info)
    logFormat = settings.choice("EMAILMCP_LOG_FORMAT", default: isTerminal ? LogFormat.text : .json)
    drainTimeout = settings.duration("EMAILMCP_DRAIN_TIMEOUT", default: "10s")
    // One environment may serve all processes: a process that must have fewer loops takes fewer. A path is bound once.
    let most = if case .unix = self.listen { 1 } else { maximumLoops }
    loops = min(
      settings.integer("EMAILMCP_LOOPS", default: min(EventLoopGroup.availableCores(), most), in: 1...256), most)
  }
}
