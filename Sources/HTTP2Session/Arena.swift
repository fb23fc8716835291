/// Elements that only grow, with indices for references; keeps a little memory between uses.
struct Arena<Element: BitwiseCopyable>: ~Copyable {
  private var base: UnsafeMutablePointer<Element>?
  private var capacity = 0
  private(set) var count = 0

  deinit { base?.deallocate() }

  /// - Returns: the index of the first of the elements.
  @inline(__always)
  mutating func append(_ elements: UnsafePointer<Element>, _ length: Int) -> Int {
    let start = reserve(length)
    (base.unsafelyUnwrapped + start).update(from: elements, count: length)
    return start
  }

  @inline(__always)
  mutating func append(_ element: Element) {
    let index = reserve(1)
    (base.unsafelyUnwrapped + index).initialize(to: element)
  }

  /// Counts so many elements more, which the caller writes.
  @inline(__always)
  private mutating func reserve(_ length: Int) -> Int {
    if base == nil || count + length > capacity { grow(to: count + length) }
    defer { count += length }
    return count
  }

  private mutating func grow(to needed: Int) {
    let grown = max(256 / MemoryLayout<Element>.stride, capacity * 2, needed)
    let memory = UnsafeMutablePointer<Element>.allocate(capacity: grown)
    if let base {
      memory.update(from: base, count: count)
      base.deallocate()
    }
    base = memory
    capacity = grown
  }

  /// Memory that is held, in bytes.
  var heldBytes: Int { capacity * MemoryLayout<Element>.stride }

  /// - Parameter bytes: larger memory is given back.
  mutating func removeAll(keeping bytes: Int) {
    count = 0
    guard heldBytes > bytes else { return }
    base?.deallocate()
    base = nil
    capacity = 0
  }

  subscript(_ index: Int) -> Element {
    precondition(index < count)
    return base.unsafelyUnwrapped[index]
  }

  /// Valid until the next append.
  func pointer(to start: Int) -> UnsafePointer<Element>? { base.map { UnsafePointer($0 + start) } }
}
