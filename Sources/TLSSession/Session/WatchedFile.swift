internal import Glibc

/// What tells two states of a file apart without reading it. Symbolic links are followed, so that a mounted
/// secret whose link is swapped counts as changed.
struct FileStamp: Hashable, Sendable {
  private var device: UInt = 0
  private var inode: UInt = 0
  private var size: Int = 0
  private var seconds: Int = 0
  private var nanoseconds: Int = 0

  init(path: String) {
    var info = stat()
    guard stat(path, &info) == 0 else { return }
    device = UInt(info.st_dev)
    inode = UInt(info.st_ino)
    size = Int(info.st_size)
    seconds = info.st_mtim.tv_sec
    nanoseconds = info.st_mtim.tv_nsec
  }
}

extension PEMSource {
  /// More than any honest certificate bundle; a guard against a wrong path such as a device.
  static let largestFile = 4 << 20

  var path: String? {
    if case .file(let path) = self { path } else { nil }
  }

  func load() throws(TLSError) -> [UInt8] {
    switch self {
    case .bytes(let bytes): return bytes
    case .file(let path): return try Self.read(path)
    }
  }

  private static func read(_ path: String) throws(TLSError) -> [UInt8] {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw TLSError(.file, "\(path): \(String(cString: strerror(errno)))") }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = Glibc.read(fd, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw TLSError(.file, "\(path): \(String(cString: strerror(errno)))") }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= largestFile else { throw TLSError(.file, "\(path): larger than \(largestFile) bytes") }
    }
  }
}
