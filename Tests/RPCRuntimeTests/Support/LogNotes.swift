import Logging
import Synchronization

/// The lines of a logger, kept for a test.
final class LogNotes: Sendable {
  struct Line: Sendable {
    let level: Logger.Level
    let message: String
    let metadata: Logger.Metadata
  }

  private let kept = Mutex<[Line]>([])

  var lines: [Line] { kept.withLock { $0 } }

  /// A logger that writes here, at every level.
  var logger: Logger { Logger(label: "test") { _ in Handler(notes: self) } }

  private struct Handler: LogHandler {
    let notes: LogNotes
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    init(notes: LogNotes) { self.notes = notes }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let line = Line(
        level: event.level, message: "\(event.message)", metadata: metadata.merging(event.metadata ?? [:]) { $1 })
      notes.kept.withLock { $0.append(line) }
    }
  }
}
