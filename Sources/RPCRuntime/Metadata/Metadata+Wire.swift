import HTTP2Session

extension Metadata {
  /// Reads the user's fields of a section; what cannot be metadata is left out.
  init(_ block: HTTP2HeaderBlock) {
    self.init()
    for index in 0..<block.count { _ = appendReceived(name: block.name(index), value: block.value(index)) }
  }

  func write(to fields: inout HTTP2FieldList) {
    for entry in entries {
      switch entry.value {
      case .text(let text):
        // Spaces around a value may be left out by gRPC, and must be by HTTP/2: strict peers reset the stream.
        fields.append(name: entry.name.rawValue.utf8, value: text.utf8.trimmingSpaces())
      case .binary(let bytes): fields.append(name: entry.name.rawValue.utf8, value: HeaderBase64.encode(bytes))
      }
    }
  }
}
