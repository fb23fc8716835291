import CLinux
import Glibc

/// What a descriptor is watched for, and what it is ready for.
public struct Interest: OptionSet, Sendable, Hashable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let readable = Interest(rawValue: 1)
  public static let writable = Interest(rawValue: 2)
  /// Reported, never asked for: the peer is gone or the descriptor has an error. Comes with `readable` and `writable`,
  /// so that the next read or write shows which.
  public static let hangup = Interest(rawValue: 4)

  var epollEvents: UInt32 {
    (contains(.readable) ? UInt32(clinux_epollin) : 0)
      | (contains(.writable) ? UInt32(clinux_epollout) : 0)
  }

  init(epollEvents: UInt32) {
    self = []
    if epollEvents & UInt32(clinux_epollin) != 0 { insert(.readable) }
    if epollEvents & UInt32(clinux_epollout) != 0 { insert(.writable) }
    if epollEvents & UInt32(clinux_epollhup | clinux_epollerr) != 0 {
      formUnion([.readable, .writable, .hangup])
    }
  }
}

/// Owns the epoll descriptor.
final class Poller {
  private let descriptor: Int32
  private let events: UnsafeMutableBufferPointer<epoll_event>

  /// Descriptors dealt with in one tick. Few, so that what a thousand of them bring is answered while it is in the caches,
  /// and the first answers do not wait for the last question: with 256, a call over 1,000 busy connections cost a third
  /// more and took twice as long.
  private static let eventsPerWait = 16

  init() throws(SystemError) {
    descriptor = try systemCall("epoll_create1") { clinux_epoll_create() }
    events = .allocate(capacity: Self.eventsPerWait)
  }

  deinit {
    close(descriptor)
    events.deallocate()
  }

  func control(_ operation: Int32, _ fd: Int32, _ events: UInt32, _ data: UInt64) throws(SystemError) {
    try systemCall("epoll_ctl") { clinux_epoll_ctl(descriptor, operation, fd, events, data) }
  }

  /// Waits at most `milliseconds` (-1: for ever).
  ///
  /// - Returns: what has happened, valid until the next wait.
  func wait(milliseconds: Int32) -> UnsafeMutableBufferPointer<epoll_event> {
    let count = epoll_wait(descriptor, events.baseAddress!, Int32(events.count), milliseconds)
    return UnsafeMutableBufferPointer(rebasing: events[..<max(0, Int(count))])
  }
}
