import Glibc
import RPCRuntime

/// The `.proto` files of a folder, as reflection wants them.
enum ProtoFolder {
  struct Unreadable: Error, CustomStringConvertible {
    let description: String
  }

  /// A file's text may have so many bytes.
  private static let largestFile = 1 << 20

  static func files(_ names: [String], below folder: String) throws -> [ProtoFile] {
    try names.map { try ProtoFile(name: $0, source: read("\(folder)/\($0)")) }
  }

  private static func read(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw Unreadable(description: "\(path) cannot be read") }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: largestFile)
    let count = fread(&bytes, 1, bytes.count, file)
    guard count < bytes.count else { throw Unreadable(description: "\(path) is too large") }
    return Array(bytes[..<count])
  }
}
