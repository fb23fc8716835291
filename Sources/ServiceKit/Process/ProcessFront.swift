internal import EventLoop
internal import Glibc
internal import Logging

/// What a process has once, on its first loop: signals and the admin port.
final class ProcessFront {
  private let signals: SignalWatch

  static func start(on loop: ServiceLoop, _ life: ProcessLife) async throws -> ProcessFront {
    let signals = try SignalWatch(on: loop.reactor) { signal in
      guard !life.stop.isOpen else {
        // The second signal: whoever sends it has waited enough. Its default action ends the process.
        SignalWatch.obey(signal)
        return
      }
      life.logger.info("draining", metadata: ["signal": "\(signal == SIGINT ? "SIGINT" : "SIGTERM")"])
      life.readiness.drain()
      life.stop.open()
    }
    return ProcessFront(signals: signals)
  }

  private init(signals: SignalWatch) { self.signals = signals }

  func close() async {
    signals.close()
  }
}
