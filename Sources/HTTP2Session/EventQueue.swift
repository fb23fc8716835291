/// Events that wait to be delivered. They are moved in and out, so that handing one on counts no references.
struct EventQueue: ~Copyable {
  private var base: UnsafeMutablePointer<HTTP2Event>?
  private var capacity = 0
  private var head = 0
  private var end = 0

  deinit {
    guard let base else { return }
    (base + head).deinitialize(count: end - head)
    base.deallocate()
  }

  mutating func append(_ event: consuming HTTP2Event) {
    if end == capacity { grow() }
    (base.unsafelyUnwrapped + end).initialize(to: event)
    end += 1
  }

  mutating func popFirst() -> HTTP2Event? {
    guard head < end else { return nil }
    let event = (base.unsafelyUnwrapped + head).move()
    head += 1
    if head == end {
      head = 0
      end = 0
    }
    return event
  }

  private mutating func grow() {
    let grown = max(8, (end - head) * 2)
    let memory = UnsafeMutablePointer<HTTP2Event>.allocate(capacity: grown)
    if let base {
      memory.moveInitialize(from: base + head, count: end - head)
      base.deallocate()
    }
    base = memory
    capacity = grown
    end -= head
    head = 0
  }
}
