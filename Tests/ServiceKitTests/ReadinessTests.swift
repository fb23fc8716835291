import Glibc
import ServiceKit
import Synchronization
import TestSupport
import Testing

@Suite("Readiness")
struct ReadinessTests {
  @Test("A process is ready when it has started and everything that it expects is there")
  func lifecycle() {
    let readiness = Readiness()
    let routes = AdminRoutes(readiness: readiness, metrics: MetricsRegistry())
    func status() -> Int { routes.answer(method: "GET", path: "/readyz").status }
    readiness.expect("postgres")
    #expect(status() == 503)
    readiness.started()
    #expect(
      String(decoding: routes.answer(method: "GET", path: "/readyz").body, as: UTF8.self)
        == #"{"status":"not_ready","missing":{"postgres":"has not been reached yet"}}"#)
    readiness.set("postgres", reason: nil)
    #expect(status() == 200)
    readiness.drain()
    #expect(status() == 503)
    #expect(routes.answer(method: "GET", path: "/healthz").status == 200)
  }

  @Test(
    "Who observes hears how it stands now and at each change; calls can do without what is not vital, not in a drain")
  func standing() {
    let readiness = Readiness()
    let heard = Mutex<[[Bool]]>([])
    readiness.expect("postgres")
    readiness.expect("oauth", isVital: false)
    readiness.observe { standing in heard.withLock { $0.append([standing.isReady, standing.takesCalls]) } }
    readiness.started()  // still without the database
    #expect(readiness.set("postgres", reason: nil))
    #expect(!readiness.set("postgres", reason: nil), "nothing has changed")
    readiness.set("oauth", reason: nil)
    readiness.set("oauth", reason: "is away")
    readiness.set("oauth", reason: "is away still")
    readiness.drain()
    #expect(
      heard.withLock { $0 } == [
        [false, false], [false, true], [true, true], [false, true], [false, false],
      ])
    #expect(readiness.reasons == ["process": "is draining", "oauth": "is away still"])
  }

  /// The slower of two threads told last what it had seen first: a server that was ready said for ever that it was not.
  @Test("Of changes on several threads the last one is heard last")
  func order() async throws {
    let readiness = Readiness()
    let heard = Mutex<[Bool]>([])
    let isTelling = Atomic(false)
    readiness.expect("oauth", isVital: false)
    readiness.observe { standing in
      if standing.takesCalls, !standing.isReady {
        isTelling.store(true, ordering: .relaxed)
        while !readiness.isReady { usleep(1000) }
        usleep(20_000)
      }
      heard.withLock { $0.append(standing.isReady) }
    }
    async let first: Void = onLoop { _ in readiness.started() }
    while !isTelling.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(1)) }
    try await onLoop { _ in _ = readiness.set("oauth", reason: nil) }
    try await first
    #expect(heard.withLock { $0.last } == true)
  }

  @Test("The admin port knows three paths")
  func paths() {
    let routes = AdminRoutes(readiness: Readiness(), metrics: MetricsRegistry())
    #expect(routes.answer(method: "GET", path: "/metrics").status == 200)
    #expect(routes.answer(method: "GET", path: "/").status == 404)
    #expect(routes.answer(method: "POST", path: "/metrics").status == 405)
  }
}
