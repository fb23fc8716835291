internal import CLinux
internal import EventLoop
internal import Glibc
internal import Logging
internal import CoreMetrics
internal import RPCRuntime
internal import Synchronization

/// A process's life: read the settings, start in order, serve until a signal, drain in reverse, end.
///
/// An executable's `Main.swift` is `exit(await ServiceProcess<Edge>.run(arguments:environment:))`.
package enum ServiceProcess<S: Service> {
  /// - Returns: the exit status: 0 after a drain, 1 when the settings or the start failed, 2 for wrong arguments.
  package static func run(arguments: [String], environment: [String: String]) async -> Int32 {
    ProcessMetrics.noteStart()
    let settings = Settings(environment)
    let common = CommonSettings(
      settings, service: S.name, listen: S.defaultListen, adminListen: S.defaultAdminListen,
      maximumLoops: S.maximumLoops,
      isTerminal: isatty(STDERR_FILENO) == 1)
    // Before `configure`: counters that it makes would otherwise count into nothing.
    let metrics = MetricsRegistry()
    metrics.describe(CommonMetrics.descriptions + S.metrics)
    MetricsSystem.bootstrap(metrics)
    let configuration = S.configure(settings, common)

    switch Array(arguments.dropFirst()) {
    case []: break
    case ["--check-config"]: return checkConfiguration(settings)
    case ["--probe"]: return probeReadiness(at: common.adminListen)
    case ["--version"]:
      print("\(program(arguments)) \(Release.version)")
      return 0
    case ["--help"]:
      print(usage(arguments))
      return 0
    default:
      printError(usage(arguments))
      return 2
    }

    do {
      try settings.finish()
    } catch {
      printError("\(S.name): the settings are wrong:\n\(error)")
      return 1
    }
    return await serve(common, configuration, metrics)
  }

  private static func program(_ arguments: [String]) -> String {
    arguments.first?.split(separator: "/").last.map(String.init) ?? S.name
  }

  private static func usage(_ arguments: [String]) -> String {
    let own = S.ownArgument.map { name, help in
      (usage: "[\(name)] ", line: "\n  \(name)\(String(repeating: " ", count: max(1, 16 - name.count)))\(help)")
    }
    return """
      usage: \(program(arguments)) \(own?.usage ?? "")[--check-config | --probe | --version | --help]
        --check-config  prints the settings that the process would use, and ends with 0 or 1
        --probe         asks the running process's admin port whether it is ready, and ends with 0 or 1\(own?.line ?? "")
      Settings come from the environment; see docs/OPERATIONS.md.
      """
  }

  private static func checkConfiguration(_ settings: Settings) -> Int32 {
    for entry in settings.entries.sorted(by: { $0.name < $1.name }) {
      print("\(entry.name)=\(entry.value)\t(\(entry.source))")
    }
    do {
      try settings.finish()
      return 0
    } catch {
      printError("\(error)")
      return 1
    }
  }

  private static func serve(
    _ common: CommonSettings, _ configuration: S.Configuration, _ metrics: MetricsRegistry
  ) async -> Int32 {
    let started = Instant.current()
    SignalWatch.prepareProcess()
    let (allowed, needed) = (DescriptorLimit.raise(), DescriptorLimit.needed(loops: common.loops))
    guard allowed >= needed else {
      printError(
        "\(S.name): \(allowed) open files are allowed (ulimit -Hn) and \(common.loops) loops need \(needed); "
          + "allow more, or give it fewer by EMAILMCP_LOOPS")
      return 1
    }
    clinux_return_large_buffers()
    let writer = LogWriter()
    let (level, format) = (common.logLevel, common.logFormat)
    LoggingSystem.bootstrap { label in
      ServiceLogHandler(label: label, service: S.name, level: level, format: format) { writer.write($0) }
    }
    defer { writer.flush() }

    let logger = Logger(label: S.name)
    let tracer = common.tracing.map { Tracer($0.sampler) }
    let life = ProcessLife(common: common, logger: logger, metrics: metrics, tracer: tracer)
    let (ready, dropped) = (metrics.gauge("emailmcp_ready", []), metrics.gauge("emailmcp_log_lines_dropped", []))
    metrics.collect { [readiness = life.readiness] in
      ready.set(readiness.isReady ? 1.0 : 0)
      dropped.set(Double(writer.droppedLines))
    }
    do {
      let group = try EventLoopGroup(count: common.loops)
      try await run(group.loops, life, configuration, started)
      await group.shutdown()
      return 0
    } catch {
      logger.critical("start failed", metadata: ["error": "\(error)"])
      return 1
    }
  }

  /// One task a loop, from start to drained; loops start one after the other.
  private static func run(
    _ loops: [EventLoop], _ life: ProcessLife, _ configuration: S.Configuration, _ started: Instant
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      var turn = Latch()
      turn.open()
      for (index, loop) in loops.enumerated() {
        let (mine, next) = (turn, Latch())
        group.addTask {
          await mine.wait()
          try await loop.run { reactor in
            try await live(on: reactor, index, life, configuration, started: next)
          }
        }
        turn = next
      }
      let allStarted = turn
      group.addTask {
        await allStarted.wait()
        guard !life.stop.isOpen else { return }
        life.readiness.started()
        let took = Instant.current() - started
        life.logger.info(
          "started",
          metadata: [
            "listen": "\(life.common.listen)", "admin": "\(life.common.adminListen)", "loops": "\(loops.count)",
            "took": "\(took)",
          ])
      }
      do {
        try await group.waitForAll()
      } catch {
        life.stop.open()
        throw error
      }
    }
  }

  private static func live(
    on reactor: Reactor, _ index: Int, _ life: ProcessLife, _ configuration: S.Configuration, started: Latch
  ) async throws {
    defer { started.open() }
    if life.stop.isOpen { return }
    let loop = ServiceLoop(
      reactor: reactor, index: index, count: life.common.loops, logger: life.logger, readiness: life.readiness,
      metrics: life.metrics, tracer: life.tracer)
    life.reports.add(loop)
    do {
      let claims = index == 0 ? try await Self.claimPorts(life.common, on: reactor) : []
      let front = index == 0 ? try await ProcessFront.start(on: loop, life) : nil
      let exporter = index == 0 ? try TraceExporter(life, on: reactor) : nil
      exporter?.start()
      let graph = try await S.start(on: loop, configuration)
      for claim in claims { claim.release() }
      started.open()
      await life.stop.wait()
      loop.stopChecks()
      await graph.drain(within: life.common.drainTimeout)
      await exporter?.stop()
      front?.close()
    } catch {
      life.stop.open()
      throw error
    }
  }

  private static func claimPorts(_ common: CommonSettings, on reactor: Reactor) async throws -> [PortClaim] {
    var claims: [PortClaim] = []
    for address in [common.listen, common.adminListen] {
      if let claim = try PortClaim(try await address.resolve(on: reactor)) { claims.append(claim) }
      try await address.requireUnused(on: reactor)
    }
    return claims
  }
}

/// What the loops of a process share.
final class ProcessLife: Sendable {
  let common: CommonSettings
  let logger: Logger
  let metrics: MetricsRegistry
  /// Nil: nothing is traced.
  let tracer: Tracer?
  let readiness = Readiness()
  let reports = RPCReportSources()
  /// Opens when the process is to end.
  let stop = Latch()

  init(common: CommonSettings, logger: Logger, metrics: MetricsRegistry, tracer: Tracer?) {
    self.common = common
    self.tracer = tracer
    self.logger = logger
    self.metrics = metrics
  }
}

/// Writes a line to stderr, for what comes before the log.
package func printError(_ text: String) {
  let line = Array((text + "\n").utf8)
  _ = write(STDERR_FILENO, line, line.count)
}

/// The environment of this process. For executables, which hand it down.
package func processEnvironment() -> [String: String] {
  var result: [String: String] = [:]
  guard var entry = clinux_environment() else { return result }
  while let pair = entry.pointee {
    let text = String(cString: pair)
    if let equals = text.firstIndex(of: "=") {
      result[String(text[..<equals])] = String(text[text.index(after: equals)...])
    }
    entry += 1
  }
  return result
}
