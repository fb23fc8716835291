/// A `.proto` file of edition proto3, read from its text: what the reflection service tells of a server's methods.
public struct ProtoFile: Sendable {
  /// The path that other files import it by, `hello/v1/hello.proto`.
  public var name: String { schema.name }
  let schema: FileSchema

  /// - Parameters:
  ///   - name: the path that other files import it by.
  ///   - source: the text, UTF-8.
  /// - Throws: `ProtoSyntaxError` with the line.
  public init(name: String, source: [UInt8]) throws(ProtoSyntaxError) {
    schema = try ProtoParser.parse(source, name: name)
  }

  /// A file that is part of the program. One that cannot be read stops it.
  public init(builtIn name: String, source: [UInt8]) {
    do {
      schema = try ProtoParser.parse(source, name: name)
    } catch {
      preconditionFailure("\(name): \(error)")
    }
  }
}
