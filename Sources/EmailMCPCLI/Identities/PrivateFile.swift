import EventLoop
import Glibc

/// Files that only their owner may read, replaced whole or not at all.
enum PrivateFile {
  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Makes the folder, and those above it, as far as they are missing; the last one is the owner's alone.
  static func makeFolder(_ path: String) throws(SystemError) {
    var prefix = path.hasPrefix("/") ? "" : "."
    for part in path.split(separator: "/") {
      prefix += "/\(part)"
      if mkdir(prefix, 0o755) != 0, errno != EEXIST { throw SystemError("mkdir \(prefix)") }
    }
    try systemCall("chmod \(path)") { chmod(path, 0o700) }
  }

  static func write(_ bytes: some Collection<UInt8>, to path: String) throws(SystemError) {
    let temporary = "\(path).new"
    let bytes = Array(bytes)
    // What stands there already, a link perhaps, is not ours to write into: it has its own owner and rights.
    unlink(temporary)
    let descriptor = try systemCall("open \(temporary)") { open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0o600) }
    defer { close(descriptor) }
    var written = 0
    while written < bytes.count {
      written += try systemCall("write \(temporary)") {
        bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      }
    }
    try systemCall("fsync \(temporary)") { fsync(descriptor) }
    try systemCall("rename \(path)") { rename(temporary, path) }
  }

  static func read(_ path: String) throws(SystemError) -> [UInt8] {
    let descriptor = try systemCall("open \(path)") { open(path, O_RDONLY | O_CLOEXEC) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = try systemCall("read \(path)") { Glibc.read(descriptor, &buffer, buffer.count) }
      if count == 0 { return bytes }
      bytes += buffer[..<count]
    }
  }

  static func readText(_ path: String) throws(SystemError) -> String {
    String(decoding: try read(path), as: UTF8.self)
  }
}
