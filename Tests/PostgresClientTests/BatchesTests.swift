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

  /// The transactions of callers that all come at once, each with so many bytes, and what they got.
  private func transactions(
    of sizes: [Int], _ perform: @escaping @Sendable ([Int]) throws -> [Int] = { $0 }
  ) async throws -> (transactions: [[Int]], results: [Int?]) {
    let loop = try EventLoop.start(name: "test")
    let course = try await loop.run { reactor in
      var transactions: [[Int]] = []
      let batches = Batches<Int, Int>(reactor: reactor, size: { sizes[$0] }) { inputs in
        transactions.append(inputs)
        return try perform(inputs)
      }
      let callers = sizes.indices.map { input in reactor.spawn { try await batches.submit(input) } }
      var results: [Int?] = []
      for caller in callers { results.append(try? await caller.value) }
      return (transactions, results)
    }
    await loop.shutdown()
    return course
  }

  @Test("A transaction is of 64 callers at most, in the order of their coming")
  func capacity() async throws {
    let course = try await transactions(of: [Int](repeating: 0, count: 130))
    #expect(course.transactions == [Array(0..<64), Array(64..<128), [128, 129]])
    #expect(course.results == Array(0..<130))
  }

  @Test("A transaction has a mebibyte at most, or one caller who has more")
  func byteCapacity() async throws {
    let most = Batches<Int, Int>.byteCapacity
    let course = try await transactions(of: [most - 1, 1, 1, most + 1, most, 1])
    #expect(course.transactions == [[0, 1], [2], [3], [4], [5]])
  }

  @Test("Where the server refuses a transaction of several, each is tried for itself, and the one to blame fails")
  func oneToBlame() async throws {
    let course = try await transactions(of: [0, 0, 0]) { inputs in
      if inputs.contains(1) { throw PostgresError(.uniqueViolation, "no") }
      return inputs.map { $0 * 10 }
    }
    #expect(course.transactions == [[0, 1, 2], [0], [1], [2]] && course.results == [0, nil, 20])
  }
}
