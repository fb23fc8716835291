package import EventLoop

/// Gathers what many callers want of the database into one transaction: what comes while one is under way goes with the
/// next. Alone, a caller waits for nobody. On one loop.
package final class Batches<Input, Output: Sendable> {
  /// Callers in one transaction: enough that its fixed costs vanish, few enough that it takes milliseconds.
  static var capacity: Int { 64 }
  /// Bytes in one transaction, beyond the first caller's: large mails go one by one, and memory stays bounded.
  static var byteCapacity: Int { 1 << 20 }

  private let reactor: Reactor
  private let perform: ([Input]) async throws -> [Output]
  private let size: (Input) -> Int
  private struct Entry {
    let input: Input
    let waiter: Waiter<Output>
  }

  private var waiting: [Entry] = []
  private var isUnderWay = false

  /// - Parameter size: bytes of an input, where they matter.
  /// - Parameter perform: answers with one output for each input, in order; what it throws undoes all of them.
  package init(
    reactor: Reactor, size: @escaping (Input) -> Int = { _ in 0 },
    perform: @escaping ([Input]) async throws -> [Output]
  ) {
    self.reactor = reactor
    self.size = size
    self.perform = perform
  }

  /// Takes effect also when the caller is cancelled.
  package func submit(_ input: Input) async throws -> Output {
    try await reactor.wait { (waiter: Waiter<Output>) in
      waiting.append(Entry(input: input, waiter: waiter))
      guard !isUnderWay else { return }
      isUnderWay = true
      // In a task of its own, which begins when this turn of the loop has submitted all it has.
      reactor.spawn { [self] in
        while !waiting.isEmpty { await performNext() }
        isUnderWay = false
      }
    }
  }

  private func takeNext() -> [Entry] {
    var count = 0
    var bytes = 0
    while count < min(waiting.count, Self.capacity) {
      bytes += size(waiting[count].input)
      if count > 0, bytes > Self.byteCapacity { break }
      count += 1
    }
    defer { waiting.removeFirst(count) }
    return Array(waiting.prefix(count))
  }

  private func performNext() async {
    let batch = takeNext()
    do {
      let outputs = try await perform(batch.map { $0.input })
      for (entry, output) in zip(batch, outputs) { entry.waiter.resume(returning: output) }
    } catch let error as PostgresError where batch.count > 1 && error.isOfOneStatement {
      // One of them may be to blame: each for itself.
      for entry in batch {
        do {
          entry.waiter.resume(returning: try await perform([entry.input])[0])
        } catch {
          entry.waiter.resume(throwing: error)
        }
      }
    } catch {
      for entry in batch { entry.waiter.resume(throwing: error) }
      guard (error as? PostgresError)?.isTimeout == true else { return }
      // Who came meanwhile has waited for the same database: nobody waits for a time-out twice.
      let late = waiting
      waiting = []
      for entry in late {
        entry.waiter.resume(throwing: PostgresError(.poolTimeout, "the transaction before got no answer in time"))
      }
    }
  }
}

extension PostgresError {
  /// The server answered with an error and undid the statement: nothing is wrong with the server itself.
  fileprivate var isOfOneStatement: Bool { !mayHaveExecuted && !isUnavailable }

  fileprivate var isTimeout: Bool { code == .timeout || code == .poolTimeout }
}
