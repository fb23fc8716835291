import CNghttp2
internal import Glibc

/// The memory that the library asks for, kept in free lists for the next stream of any session that shares it: one of a
/// server or a channel. A call makes the library allocate eight times, in bursts as large as the streams that end
/// together, for which the system's allocator leaves its quick path.
///
/// Not Sendable; lives on its owner's loop, like its sessions, which hold it.
package final class SessionMemory {
  /// Sizes are rounded up to a multiple of this, in bytes.
  private static let step = 64
  /// Above it nothing is kept: frame buffers of a connection, long header blocks.
  private static let classes = 16
  /// Bytes kept of each size: what some hundred streams need of it, a mebibyte in all.
  private static let kept = 64 * 1024

  /// Free blocks of one size, linked through their first word.
  fileprivate struct FreeList {
    var first: UnsafeMutableRawPointer?
    var bytes = 0
  }

  private let lists: UnsafeMutablePointer<FreeList>

  package init() {
    lists = .allocate(capacity: Self.classes)
    lists.initialize(repeating: FreeList(), count: Self.classes)
  }

  deinit {
    for index in 0..<Self.classes {
      while let block = lists[index].first {
        lists[index].first = block.load(as: UnsafeMutableRawPointer?.self)
        Glibc.free(block - Self.header)
      }
    }
    lists.deallocate()
  }

  /// The library's view; valid while `self` lives. The library copies it into the session.
  var functions: nghttp2_mem {
    nghttp2_mem(
      mem_user_data: lists,
      malloc: { size, lists in SessionMemory.allocate(size, lists!) },
      free: { block, lists in SessionMemory.free(block, lists!) },
      calloc: { count, size, lists in
        let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
        guard !overflow, let block = SessionMemory.allocate(bytes, lists!) else { return nil }
        memset(block, 0, bytes)
        return block
      },
      realloc: { block, size, lists in SessionMemory.reallocate(block, size, lists!) })
  }

  /// Before each block, in bytes, so that blocks stay aligned: its room.
  private static let header = 16

  private static func allocate(_ size: Int, _ lists: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    let index = (max(size, 1) - 1) / step
    if index < classes {
      let list = lists.assumingMemoryBound(to: FreeList.self) + index
      if let block = list.pointee.first {
        list.pointee.first = block.load(as: UnsafeMutableRawPointer?.self)
        list.pointee.bytes -= (index + 1) * step
        return block
      }
    }
    let room = index < classes ? (index + 1) * step : size
    guard let memory = Glibc.malloc(header + room) else { return nil }
    memory.storeBytes(of: room, as: Int.self)
    return memory + header
  }

  private static func free(_ block: UnsafeMutableRawPointer?, _ lists: UnsafeMutableRawPointer) {
    guard let block else { return }
    let room = room(of: block)
    guard room <= classes * step else { return Glibc.free(block - header) }
    let list = lists.assumingMemoryBound(to: FreeList.self) + (room / step - 1)
    guard list.pointee.bytes < kept else { return Glibc.free(block - header) }
    block.storeBytes(of: list.pointee.first, as: UnsafeMutableRawPointer?.self)
    list.pointee.first = block
    list.pointee.bytes += room
  }

  private static func reallocate(
    _ block: UnsafeMutableRawPointer?, _ size: Int, _ lists: UnsafeMutableRawPointer
  ) -> UnsafeMutableRawPointer? {
    guard let block else { return allocate(size, lists) }
    let room = room(of: block)
    guard size > room else { return block }
    guard let larger = allocate(size, lists) else { return nil }
    larger.copyMemory(from: block, byteCount: room)
    free(block, lists)
    return larger
  }

  private static func room(of block: UnsafeMutableRawPointer) -> Int { (block - header).load(as: Int.self) }
}
