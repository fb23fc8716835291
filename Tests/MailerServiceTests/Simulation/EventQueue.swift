/// What will happen, by virtual time; at the same time, in the order in which it was scheduled. A binary heap.
struct EventQueue {
  struct Event {
    var time: Int64
    var order: Int
    /// Whose memory it lives in: a crash of the process takes it along, a pause delays it. Nil: the network's, the database's
    /// or Gmail's.
    var owner: SimulatedMailer?
    var incarnation: Int
    var action: () -> Void

    func precedes(_ other: Event) -> Bool { time < other.time || (time == other.time && order < other.order) }
  }

  private var heap: [Event] = []
  private var order = 0

  mutating func add(at time: Int64, owner: SimulatedMailer?, incarnation: Int, _ action: @escaping () -> Void) {
    order += 1
    heap.append(Event(time: time, order: order, owner: owner, incarnation: incarnation, action: action))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].precedes(heap[parent]) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  /// A paused process gets what is due when it wakes, in order.
  mutating func postpone(_ event: Event, to time: Int64) {
    add(at: time, owner: event.owner, incarnation: event.incarnation, event.action)
  }

  mutating func next() -> Event? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].precedes(heap[least]) {
        least = child
      }
      guard least != parent else { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
