import CoreMetrics
import EventLoop
import Logging

/// Keeps a process's part of the project's quota in step with the database, which parts it among all mailers. On one loop of
/// the process.
final class ProjectQuota {
  /// How often what was used is given again.
  static let interval: Duration = .milliseconds(20)
  /// How often a process that sends nothing looks whether the project is paused.
  static let idleInterval: Duration = .seconds(2)

  private let reactor: Reactor
  private let store: MailStore
  private let pause: ProjectPause
  private let logger: Logger
  private let share = Gauge(label: "emailmcp_project_pace_share")
  private let paused = Gauge(label: "emailmcp_project_paused_seconds")
  private var task: Task<Void, any Error>?
  /// Something of this process's was given out and not told of yet.
  private var lastAsked: Instant?

  init(reactor: Reactor, store: MailStore, pause: ProjectPause, logger: Logger) {
    self.reactor = reactor
    self.store = store
    self.pause = pause
    self.logger = logger
  }

  func start() {
    task = reactor.spawn { [self] in
      while true {
        await exchange()
        try await reactor.sleep(for: Self.interval * Double.random(in: 0.9..<1.1))
      }
    }
  }

  func stop() async {
    task?.cancel()
    _ = await task?.result
  }

  private func exchange() async {
    let (want, refusal) = pause.exchange()
    let isIdle = want == 0 && refusal == nil
    if isIdle, let lastAsked, Instant.current() - lastAsked < Self.idleInterval { return }
    do {
      if let refusal {
        do {
          try await store.slowProject(refusal)
        } catch {
          pause.keep(refusal)
          throw error
        }
      }
      let answer = try await store.takeProject(want, pause.terms)
      let now = Instant.current()
      pause.given(answer, at: now)
      lastAsked = now
      share.record(answer.share)
      paused.record(Double(answer.paused.wholeNanoseconds) / 1e9)
    } catch {
      // What is held may be used; the rest waits for the database, as the mails do.
      logger.debug("the project's quota could not be asked for", metadata: ["error": "\(error)"])
    }
  }
}
