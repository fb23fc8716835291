/// Files that belong together, with every name resolved: what a reflection service looks things up in.
struct SchemaPool: Sendable {
  /// Files as `google.protobuf.FileDescriptorProto`, by name.
  private(set) var files: [String: [UInt8]] = [:]
  private var dependencies: [String: [String]] = [:]
  /// The file of every message, field, enum, value, service and method, by full name.
  private var fileOfSymbol: [String: String] = [:]
  private var kinds: [String: Kind] = [:]

  private enum Kind { case message, enumeration }

  /// - Throws: what is missing or twice: a file that is imported, a type that is used.
  init(_ given: [ProtoFile]) throws(RPCError) {
    let schemas = given.map(\.schema)
    for schema in schemas {
      guard dependencies.updateValue(schema.dependencies, forKey: schema.name) == nil else {
        throw RPCError(.alreadyExists, "\(schema.name) is there twice")
      }
      try declare(schema)
    }
    for schema in schemas {
      for name in schema.dependencies where dependencies[name] == nil {
        throw RPCError(.notFound, "\(schema.name) imports \(name), which is not there")
      }
      files[schema.name] = try resolved(schema).bytes()
    }
  }

  // MARK: Questions

  /// The file with everything that it rests on, itself first.
  func closure(of name: String) -> [String] {
    guard files[name] != nil else { return [] }
    var names = [name]
    var next = 0
    while next < names.count {
      for dependency in dependencies[names[next]] ?? [] where !names.contains(dependency) { names.append(dependency) }
      next += 1
    }
    return names
  }

  func file(declaring symbol: String) -> String? { fileOfSymbol[symbol] }

  func isMessage(_ name: String) -> Bool { kinds[name] == .message }

  // MARK: Names

  private mutating func declare(_ schema: FileSchema) throws(RPCError) {
    for message in schema.messages { try declare(message, in: schema.package, of: schema.name) }
    for item in schema.enums { try declare(item, in: schema.package, of: schema.name) }
    for service in schema.services {
      let name = Self.join(schema.package, service.name)
      try declare(name, of: schema.name)
      for method in service.methods { try declare(Self.join(name, method.name), of: schema.name) }
    }
  }

  private mutating func declare(_ message: MessageSchema, in scope: String, of file: String) throws(RPCError) {
    let name = Self.join(scope, message.name)
    try declare(name, .message, of: file)
    for field in message.fields { try declare(Self.join(name, field.name), of: file) }
    for oneof in message.oneofs { try declare(Self.join(name, oneof), of: file) }
    for nested in message.messages { try declare(nested, in: name, of: file) }
    for nested in message.enums { try declare(nested, in: name, of: file) }
  }

  private mutating func declare(_ item: EnumSchema, in scope: String, of file: String) throws(RPCError) {
    try declare(Self.join(scope, item.name), .enumeration, of: file)
    // As in C++, values are siblings of their type.
    for value in item.values { try declare(Self.join(scope, value.name), of: file) }
  }

  private mutating func declare(_ name: String, _ kind: Kind? = nil, of file: String) throws(RPCError) {
    guard fileOfSymbol.updateValue(file, forKey: name) == nil else {
      throw RPCError(.alreadyExists, "\(name) is declared twice")
    }
    kinds[name] = kind
  }

  private func resolved(_ schema: FileSchema) throws(RPCError) -> FileSchema {
    var schema = schema
    for index in schema.messages.indices { try resolve(&schema.messages[index], in: schema.package) }
    for service in schema.services.indices {
      let scope = Self.join(schema.package, schema.services[service].name)
      for method in schema.services[service].methods.indices {
        let (input, output) = (
          schema.services[service].methods[method].input, schema.services[service].methods[method].output
        )
        schema.services[service].methods[method].input = "." + (try lookUp(input, in: scope))
        schema.services[service].methods[method].output = "." + (try lookUp(output, in: scope))
      }
    }
    return schema
  }

  private func resolve(_ message: inout MessageSchema, in scope: String) throws(RPCError) {
    let name = Self.join(scope, message.name)
    for index in message.fields.indices {
      guard let written = message.fields[index].typeName else { continue }
      let found = try lookUp(written, in: name)
      message.fields[index].typeName = "." + found
      message.fields[index].type = kinds[found] == .message ? FieldSchema.messageType : FieldSchema.enumType
    }
    for index in message.messages.indices { try resolve(&message.messages[index], in: name) }
  }

  /// The whole name of a type: the innermost scope that knows it wins.
  private func lookUp(_ written: String, in scope: String) throws(RPCError) -> String {
    if written.first == "." {
      let name = String(written.dropFirst())
      if kinds[name] != nil { return name }
    } else {
      var scope = scope
      while true {
        let name = Self.join(scope, written)
        if kinds[name] != nil { return name }
        guard !scope.isEmpty else { break }
        scope = scope.lastIndex(of: ".").map { String(scope[..<$0]) } ?? ""
      }
    }
    throw RPCError(.notFound, "\(scope) uses \(written), which is not declared")
  }

  private static func join(_ scope: String, _ name: String) -> String { scope.isEmpty ? name : "\(scope).\(name)" }
}
