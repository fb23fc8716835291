import Glibc

/// Writes a line at once: whoever has started the program waits for it.
public func say(_ line: String, to descriptor: Int32 = 1) {
  var text = line + "\n"
  text.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
}
