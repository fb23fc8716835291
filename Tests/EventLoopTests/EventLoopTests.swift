import Glibc
import Synchronization
import TestSupport
import Testing

@testable import EventLoop

@Suite struct EventLoopTests {
  @Test("work runs on the loop's own thread, and so do its children")
  func isolation() async throws {
    let loop = try EventLoop.start(name: "test")
    let onLoop = await loop.run { reactor in
      let child = await withTaskGroup(of: Bool.self) { group in
        group.addTask { loop.isCurrent }
        return await group.next()!
      }
      return (loop.isCurrent, child, reactor.loop === loop)
    }
    #expect(onLoop == (true, true, true))
    #expect(!loop.isCurrent)
    await loop.shutdown()
  }

  @Test("timers fire in the order of their deadlines, and a cancelled one does not")
  func timers() async throws {
    let order = try await onLoop { reactor in
      var fired: [Int] = []
      reactor.schedule(after: .milliseconds(20)) { fired.append(3) }
      reactor.schedule(after: .milliseconds(1)) { fired.append(1) }
      let cancelled = reactor.schedule(after: .milliseconds(5)) { fired.append(2) }
      cancelled.cancel()
      try await reactor.sleep(for: .milliseconds(30))
      return fired
    }
    #expect(order == [1, 3])
  }

  @Test("a cancelled sleep ends at once with CancellationError")
  func cancelledSleep() async throws {
    let loop = try EventLoop.start(name: "test")
    let task = Task { try await loop.run { try await $0.sleep(for: .seconds(3600)) } }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    await loop.shutdown()
  }

  @Test("nothing of the loop runs between the decision to wait and the waiter's registration")
  func registersAtOnce() async throws {
    let loop = try EventLoop.start(name: "test")
    let ran = Mutex(false)
    let (decided, registered) = try await loop.run { reactor in
      // One job, which is next in the queue: it runs wherever the waiting task lets go of the thread.
      let next = Task(executorPreference: loop.executor) { @Sendable in ran.withLock { $0 = true } }
      let decided = ran.withLock { $0 }
      let registered = try await reactor.wait { waiter in waiter.resume(returning: ran.withLock { $0 }) }
      await next.value
      return (decided, registered)
    }
    #expect(!decided)
    #expect(!registered)
    #expect(ran.withLock { $0 })
    await loop.shutdown()
  }

  @Test("whoever need not wait goes on at once: nothing of the loop runs in between")
  func resumedAtOnce() async throws {
    let loop = try EventLoop.start(name: "test")
    let ran = Mutex(false)
    let ranBefore = try await loop.run { reactor in
      let next = Task(executorPreference: loop.executor) { @Sendable in ran.withLock { $0 = true } }
      try await reactor.wait { $0.resume(returning: ()) }
      let ranBefore = ran.withLock { $0 }
      await next.value
      return ranBefore
    }
    #expect(!ranBefore)
    await loop.shutdown()
  }

  @Test("whoever is resumed while task-locals are bound goes on in one job")
  func resumedInOneJob() async throws {
    let loop = try EventLoop.start(name: "test")
    let ran = Mutex(false)
    let ranBefore = try await loop.run { reactor in
      var waiting: Waiter<Void>?
      let task = reactor.spawn {
        try await Bound.$one.binding(1) {
          try await Bound.$two.binding(2) {
            try await reactor.wait { waiting = $0 }
            #expect((Bound.one, Bound.two) == (1, 2))
          }
          return ran.withLock { $0 }
        }
      }
      while waiting == nil { await reactor.yield() }
      waiting?.resume(returning: ())
      // One job, behind the one with which the resumed task goes on.
      let next = Task(executorPreference: loop.executor) { @Sendable in ran.withLock { $0 = true } }
      await next.value
      return try await task.value
    }
    #expect(!ranBefore)
    await loop.shutdown()
  }

  private enum Bound {
    @TaskLocal static var one = 0
    @TaskLocal static var two = 0
  }

  @Test("a waiter that is resumed before its task suspends keeps the first result")
  func resumedEarly() async throws {
    let (value, wasPending, isPending) = try await onLoop { reactor in
      var states: [Bool] = []
      let value: Int = try await reactor.wait { waiter in
        states.append(waiter.isPending)
        waiter.resume(returning: 1)
        states.append(waiter.isPending)
        waiter.resume(returning: 2)
        waiter.resume(throwing: CancellationError())
      }
      return (value, states[0], states[1])
    }
    #expect(value == 1)
    #expect(wasPending)
    #expect(!isPending)
  }

  @Test("blocking work runs beside the loop, which goes on meanwhile")
  func offload() async throws {
    let loop = try EventLoop.start(name: "test")
    let (onLoop, turns) = try await loop.run { reactor in
      var turns = 0
      let counting = reactor.spawn {
        while !Task.isCancelled {
          turns += 1
          await reactor.yield()
        }
      }
      let onLoop = try await reactor.offload {
        usleep(20_000)
        return loop.isCurrent
      }
      counting.cancel()
      return (onLoop, turns)
    }
    #expect(!onLoop)
    #expect(turns > 1)
    await loop.shutdown()
  }

  @Test("work that hangs on a pool of its own holds up neither the shared one nor the resolver that uses that")
  func ownPool() async throws {
    let own = BlockingPool(limit: 8)
    let gate = Mutex(false)
    let (answer, addresses) = try await onLoop { reactor in
      let hanging = (0..<16).map { _ in
        reactor.spawn { try await reactor.offload(on: own) { while !gate.withLock({ $0 }) { usleep(1_000) } } }
      }
      await reactor.yield()
      let answer = try await reactor.offload { 7 }
      let addresses = try await reactor.resolve(host: "localhost", port: 80)
      gate.withLock { $0 = true }
      for task in hanging { try await task.value }
      return (answer, addresses)
    }
    #expect(answer == 7 && !addresses.isEmpty)
  }

  @Test("what other threads execute arrives in their order, while the loop sleeps and while it works")
  func execute() async throws {
    let loop = try EventLoop.start(name: "test")
    let seen = Mutex<[Int]>([])
    for index in 0..<1000 { loop.execute { _ in seen.withLock { $0.append(index) } } }
    await loop.run { _ in }
    await withCheckedContinuation { continuation in loop.execute { _ in continuation.resume() } }
    #expect(seen.withLock { $0 } == Array(0..<1000))
    await loop.shutdown()
  }

  @Test("a dirty object is flushed once at the end of the tick")
  func flush() async throws {
    final class Output: Flushable {
      var isFlushScheduled = false
      var flushes = 0
      func flush() { flushes += 1 }
    }
    let (during, after) = try await onLoop { reactor in
      let output = Output()
      for _ in 0..<10 { reactor.setNeedsFlush(output) }
      let during = output.flushes
      await reactor.yield()
      return (during, output.flushes)
    }
    #expect(during == 0)
    #expect(after == 1)
  }

  @Test("a descriptor's readiness reaches its handler until it is deregistered")
  func readiness() async throws {
    final class Reader: ReadinessHandler {
      var received = 0
      let fd: Int32
      var waiter: Waiter<Void>?
      init(fd: Int32) { self.fd = fd }
      func ready(_ readiness: Interest) {
        var buffer: (UInt64, UInt64) = (0, 0)
        received += max(0, read(fd, &buffer, 16))
        waiter?.resume(returning: ())
      }
    }
    let received = try await onLoop { reactor in
      var pipes: [Int32] = [0, 0]
      pipe(&pipes)
      let reader = Reader(fd: pipes[0])
      try reactor.register(pipes[0], .readable, reader)
      _ = write(pipes[1], "abc", 3)
      try await reactor.wait { reader.waiter = $0 }
      reactor.deregister(pipes[0])
      _ = write(pipes[1], "def", 3)
      try await reactor.sleep(for: .milliseconds(5))
      close(pipes[0])
      close(pipes[1])
      return reader.received
    }
    #expect(received == 3)
  }

  /// Keepalive took each answer for older than its question: the time was that of the tick before the sleep.
  @Test("what a descriptor brings is not dated before the loop's sleep")
  func timeOfDispatch() async throws {
    final class Reader: ReadinessHandler {
      let reactor: Reactor
      var seen: Instant?
      var waiter: Waiter<Void>?
      init(_ reactor: Reactor) { self.reactor = reactor }
      func ready(_ readiness: Interest) {
        seen = seen ?? reactor.now
        waiter?.resume(returning: ())
      }
    }
    let (written, seen, after) = try await onLoop { reactor in
      var pipes: [Int32] = [0, 0]
      pipe(&pipes)
      let reader = Reader(reactor)
      try reactor.register(pipes[0], .readable, reader)
      let written = Instant.current()
      _ = write(pipes[1], "abc", 3)
      try await reactor.wait { reader.waiter = $0 }
      reactor.deregister(pipes[0])
      close(pipes[0])
      close(pipes[1])
      return (written, reader.seen!, Instant.current())
    }
    #expect(written <= seen && seen <= after)
  }

  @Test("memory for large output is lent again, four pieces of it, and none that is very large")
  func spareBuffers() async throws {
    @Sendable func buffer(_ capacity: Int) -> [UInt8] {
      var buffer: [UInt8] = []
      buffer.reserveCapacity(capacity)
      return buffer
    }
    let loop = try EventLoop.start(name: "test")
    let (lent, large) = await loop.run { reactor in
      for _ in 0..<6 { reactor.giveSpareBuffer(buffer(100_000)) }
      var lent = 0
      while let spare = reactor.takeSpareBuffer() {
        #expect(spare.isEmpty && spare.capacity >= 100_000)
        lent += 1
      }
      reactor.giveSpareBuffer(buffer(2 << 20))
      return (lent, reactor.takeSpareBuffer())
    }
    #expect(lent == 4 && large == nil)
    await loop.shutdown()
  }

  @Test("what becomes dirty while it flushes is flushed once more in the tick, and then in the next")
  func flushAgain() async throws {
    final class Output: Flushable {
      var isFlushScheduled = false
      var flushes = 0
      let reactor: Reactor
      init(_ reactor: Reactor) { self.reactor = reactor }
      func flush() {
        flushes += 1
        if flushes < 5 { reactor.setNeedsFlush(self) }
      }
    }
    let loop = try EventLoop.start(name: "test")
    let counts = await loop.run { reactor in
      let output = Output(reactor)
      reactor.setNeedsFlush(output)
      var counts: [Int] = []
      for _ in 0..<4 {
        await reactor.yield()
        counts.append(output.flushes)
      }
      return counts
    }
    #expect(counts == [2, 4, 5, 5])
    await loop.shutdown()
  }

  @Test("times beyond what a clock can say are never, and not in the past")
  func saturation() {
    let (now, never) = (Instant(nanoseconds: 5), Instant(nanoseconds: .max))
    #expect(now + .seconds(1 << 62) == never && never + .seconds(1) == never)
    #expect(Instant(nanoseconds: -5) + .seconds(-(1 << 62)) == Instant(nanoseconds: .min))
    #expect(never - Instant(nanoseconds: -1) == .nanoseconds(Int64.max))
    #expect(Instant(nanoseconds: .min) - now == .nanoseconds(Int64.min))
    #expect(Duration.seconds(1 << 62).wholeNanoseconds == .max && Duration.seconds(-(1 << 62)).wholeNanoseconds == .min)
    #expect(Duration.nanoseconds(Int64.max).wholeNanoseconds == .max)
    #expect((Duration.nanoseconds(Int64.max) + .seconds(0.9)).wholeNanoseconds == .max)
    #expect(
      Duration.milliseconds(-1500).wholeNanoseconds == -1_500_000_000 && Duration.milliseconds(1500).inSeconds == 1.5)
  }

  @Test("a thousand jobs that enqueue each other do not keep a timer from firing")
  func fairness() async throws {
    let fired = try await onLoop { reactor in
      var fired = false
      reactor.schedule(after: .milliseconds(1)) { fired = true }
      func again() { if !fired { reactor.spawn { again() } } }
      again()
      try await reactor.sleep(for: .milliseconds(10))
      return fired
    }
    #expect(fired)
  }
}
