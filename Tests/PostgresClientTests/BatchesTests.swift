import EventLoop
import Testing

@testable import PostgresClient

@Suite("Callers that share a transaction")
struct BatchesTests {
  /// What a database was asked, and what callers got: 0 first, then 1 and 2 while the transaction of 0 is under way.
  struct Course: Sendable {
    var transactions: [[Int]] = []
    var results: [Result<Int, PostgresError>] = []

    func failure(_ caller: Int) -> PostgresError? {
      if case .failure(let error) = results[caller] { error } else { nil }
    }
  }

  /// The first transaction ends as told, later ones answer ten times what they were asked.
  private func course(first: Result<[Int], PostgresError>) async throws -> Course {
    let loop = try EventLoop.start(name: "test")
    let course = try await loop.run { reactor in
      var course = Course()
      var underWay: Waiter<[Int]>?
      let batches = Batches<Int, Int>(reactor: reactor) { inputs in
        course.transactions.append(inputs)
        if course.transactions.count > 1 { return inputs.map { $0 * 10 } }
        return try await reactor.wait { underWay = $0 }
      }
      var callers = [reactor.spawn { try await batches.submit(0) }]
      while underWay == nil { await reactor.yield() }
      callers += [1, 2].map { input in reactor.spawn { try await batches.submit(input) } }
      // Twice round the loop: both have submitted.
      for _ in 0..<2 { await reactor.yield() }
      underWay?.resume(with: first.mapError { $0 as any Error })
      for caller in callers {
        do {
          course.results.append(.success(try await caller.value))
        } catch let error as PostgresError {
          course.results.append(.failure(error))
        }
      }
      return course
    }
    await loop.shutdown()
    return course
  }

  @Test("What comes while a transaction is under way goes with the next, as one")
  func together() async throws {
    let course = try await course(first: .success([7]))
    #expect(course.transactions == [[0], [1, 2]])
    #expect(try course.results.map { try $0.get() } == [7, 10, 20])
  }

  @Test("A lost connection takes along only those of its transaction")
  func lostConnection() async throws {
    let course = try await course(first: .failure(PostgresError(.connectionLost, "reset", mayHaveExecuted: true)))
    #expect(course.failure(0)?.code == .connectionLost)
    #expect(course.transactions == [[0], [1, 2]])
    #expect(try course.results[1...].map { try $0.get() } == [10, 20])
  }

  @Test(
    "Nobody waits for two time-outs: who came meanwhile hears of the first, and that his own was not executed",
    arguments: [PostgresError.Code.timeout, .poolTimeout])
  func timeout(code: PostgresError.Code) async throws {
    let course = try await course(first: .failure(PostgresError(code, "late", mayHaveExecuted: true)))
    #expect(course.failure(0)?.mayHaveExecuted == true)
    #expect(course.transactions == [[0]])
    for caller in 1...2 {
      #expect(course.failure(caller)?.isUnavailable == true)
      #expect(course.failure(caller)?.mayHaveExecuted == false)
    }
  }
}
