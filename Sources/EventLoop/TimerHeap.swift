/// A scheduled action. Lives on its loop.
public final class Timer {
  public let deadline: Instant
  private unowned let reactor: Reactor
  private var action: (() -> Void)?
  fileprivate var heapIndex = -1

  init(deadline: Instant, reactor: Reactor, action: @escaping () -> Void) {
    self.deadline = deadline
    self.reactor = reactor
    self.action = action
  }

  /// Takes the action back. Does nothing when it ran or was cancelled already.
  public func cancel() {
    guard action != nil else { return }
    action = nil
    reactor.cancel(self)
  }

  func fire() {
    let action = self.action
    self.action = nil
    action?()
  }
}

/// The timers of a loop, earliest first: a 4-ary heap whose entries know their place, so that the cancelled deadline of
/// a finished call leaves at once (O(log n)) instead of waiting for its time.
struct TimerHeap {
  private var entries: [Timer] = []

  var nextDeadline: Instant? { entries.first?.deadline }

  mutating func insert(_ timer: Timer) {
    timer.heapIndex = entries.count
    entries.append(timer)
    siftUp(timer.heapIndex)
  }

  mutating func popExpired(_ now: Instant) -> Timer? {
    guard let first = entries.first, first.deadline <= now else { return nil }
    remove(first)
    return first
  }

  mutating func remove(_ timer: Timer) {
    let index = timer.heapIndex
    guard index >= 0 else { return }
    timer.heapIndex = -1
    let last = entries.removeLast()
    guard last !== timer else { return }
    entries[index] = last
    last.heapIndex = index
    siftUp(index)
    siftDown(last.heapIndex)
  }

  private mutating func siftUp(_ start: Int) {
    var index = start
    let timer = entries[index]
    while index > 0 {
      let parent = (index - 1) / 4
      guard timer.deadline < entries[parent].deadline else { break }
      place(entries[parent], at: index)
      index = parent
    }
    place(timer, at: index)
  }

  private mutating func siftDown(_ start: Int) {
    var index = start
    let timer = entries[index]
    while true {
      let firstChild = index * 4 + 1
      guard firstChild < entries.count else { break }
      var least = firstChild
      for child in (firstChild + 1)..<max(firstChild + 1, min(firstChild + 4, entries.count))
      where entries[child].deadline < entries[least].deadline {
        least = child
      }
      guard entries[least].deadline < timer.deadline else { break }
      place(entries[least], at: index)
      index = least
    }
    place(timer, at: index)
  }

  private mutating func place(_ timer: Timer, at index: Int) {
    entries[index] = timer
    timer.heapIndex = index
  }
}
