import HTTP2Session

/// How the messages of one direction of a call may be compressed.
///
/// Compression is never on by itself: it costs far more than the rest of a call, and the length of a compressed message
/// that holds a secret beside a stranger's text tells something about the secret.
/// Spec: https://github.com/grpc/grpc/blob/master/doc/compression.md
public enum MessageEncoding: String, Sendable, Hashable, CaseIterable {
  /// As they are.
  case identity
  /// Each message by itself as RFC 1952 says. One that does not get smaller goes as it is.
  case gzip

  /// What `grpc-accept-encoding` says of us.
  static let acceptedText: StaticString = "identity,gzip"

  /// Nil for an encoding that we do not have.
  init?(_ name: UnsafeRawBufferPointer) {
    if name.equals("identity") {
      self = .identity
    } else if name.equals("gzip") {
      self = .gzip
    } else {
      return nil
    }
  }

  /// Whether a list as `grpc-accept-encoding` has it names gzip.
  static func listsGzip(_ list: UnsafeRawBufferPointer) -> Bool {
    let space = UInt8(ascii: " ")
    return list.split(separator: UInt8(ascii: ",")).contains { part in
      let name = part.drop { $0 == space }
      let end = name.lastIndex { $0 != space } ?? name.startIndex
      return name.isEmpty ? false : UnsafeRawBufferPointer(rebasing: name[name.startIndex...end]).equals("gzip")
    }
  }
}
