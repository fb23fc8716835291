import WireCodec

/// What a `.proto` file declares, in the shape of `google.protobuf.FileDescriptorProto`, which it is written as.
///
/// Fields are written in the order of their numbers, as protoc does: the bytes are the same.
/// Spec: https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto
struct FileSchema: Sendable {
  var name: String
  var package = ""
  var dependencies: [String] = []
  /// Indices of the dependencies whose names are also this file's to those that import it.
  var publicDependencies: [Int32] = []
  var messages: [MessageSchema] = []
  var enums: [EnumSchema] = []
  var services: [ServiceSchema] = []
  var options: SchemaOptions?

  func bytes() -> [UInt8] {
    encoded { w in
      w.string(1, Optional(name))
      w.string(2, package)
      w.strings(3, dependencies)
      for message in messages { w.bytes(4, Optional(message.bytes())) }
      for item in enums { w.bytes(5, Optional(item.bytes())) }
      for service in services { w.bytes(6, Optional(service.bytes())) }
      w.bytes(8, options?.bytes())
      for index in publicDependencies { w.int32(10, Optional(index)) }
      w.string(12, "proto3")
    }
  }
}

struct MessageSchema: Sendable {
  var name: String
  var fields: [FieldSchema] = []
  var messages: [MessageSchema] = []
  var enums: [EnumSchema] = []
  var options: SchemaOptions?
  var oneofs: [String] = []
  /// From the first number up to, not including, the second.
  var reservedRanges: [(Int32, Int32)] = []
  var reservedNames: [String] = []

  func bytes() -> [UInt8] {
    encoded { w in
      w.string(1, Optional(name))
      for field in fields { w.bytes(2, Optional(field.bytes())) }
      for message in messages { w.bytes(3, Optional(message.bytes())) }
      for item in enums { w.bytes(4, Optional(item.bytes())) }
      w.bytes(7, options?.bytes())
      for oneof in oneofs { w.bytes(8, Optional(encoded { $0.string(1, Optional(oneof)) })) }
      for range in reservedRanges { w.bytes(9, Optional(rangeBytes(range))) }
      w.strings(10, reservedNames)
    }
  }
}

struct FieldSchema: Sendable {
  var name: String
  var number: Int32
  var isRepeated = false
  /// `FieldDescriptorProto.Type`; nil until the type's name is found: message or enum.
  var type: Int32?
  /// As it stands in the file, then with a leading dot and the whole name. Nil for scalars.
  var typeName: String?
  var options: SchemaOptions?
  var oneofIndex: Int32?
  var jsonName: String
  var isOptional = false

  init(name: String, number: Int32) {
    self.name = name
    self.number = number
    jsonName = Self.camelCased(name, firstIsCapital: false)
  }

  func bytes() -> [UInt8] {
    encoded { w in
      w.string(1, Optional(name))
      w.int32(3, Optional(number))
      w.int32(4, Optional(isRepeated ? 3 : 1))
      w.int32(5, type)
      w.string(6, typeName)
      w.bytes(8, options?.bytes())
      w.int32(9, oneofIndex)
      w.string(10, Optional(jsonName))
      w.bool(17, isOptional)
    }
  }

  static let messageType: Int32 = 11
  static let enumType: Int32 = 14

  static let scalarTypes: [String: Int32] = [
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "fixed64": 6, "fixed32": 7, "bool": 8, "string": 9,
    "bytes": 12, "uint32": 13, "sfixed32": 15, "sfixed64": 16, "sint32": 17, "sint64": 18,
  ]

  /// `first_name` as `firstName` or `FirstName`.
  static func camelCased(_ name: String, firstIsCapital: Bool) -> String {
    var result = ""
    var isCapital = firstIsCapital
    for character in name {
      if character == "_" {
        isCapital = true
      } else {
        result += isCapital ? character.uppercased() : String(character)
        isCapital = false
      }
    }
    return result
  }
}

struct EnumSchema: Sendable {
  var name: String
  var values: [(name: String, number: Int32, options: SchemaOptions?)] = []
  var options: SchemaOptions?
  /// From the first number up to and including the second.
  var reservedRanges: [(Int32, Int32)] = []
  var reservedNames: [String] = []

  func bytes() -> [UInt8] {
    encoded { w in
      w.string(1, Optional(name))
      for value in values {
        let bytes = encoded { w in
          w.string(1, Optional(value.name))
          w.int32(2, Optional(value.number))
          w.bytes(3, value.options?.bytes())
        }
        w.bytes(2, Optional(bytes))
      }
      w.bytes(3, options?.bytes())
      for range in reservedRanges { w.bytes(4, Optional(rangeBytes(range))) }
      w.strings(5, reservedNames)
    }
  }
}

struct ServiceSchema: Sendable {
  struct Method: Sendable {
    var name: String
    var input: String
    var output: String
    var options: SchemaOptions?
    var streamsInput = false
    var streamsOutput = false
  }

  var name: String
  var methods: [Method] = []
  var options: SchemaOptions?

  func bytes() -> [UInt8] {
    encoded { w in
      w.string(1, Optional(name))
      for method in methods {
        let bytes = encoded { w in
          w.string(1, Optional(method.name))
          w.string(2, Optional(method.input))
          w.string(3, Optional(method.output))
          w.bytes(4, method.options?.bytes())
          w.bool(5, method.streamsInput)
          w.bool(6, method.streamsOutput)
        }
        w.bytes(2, Optional(bytes))
      }
      w.bytes(3, options?.bytes())
    }
  }
}

/// The options of one thing that a client of reflection may want to know: by their numbers in `descriptor.proto`.
struct SchemaOptions: Sendable {
  enum Value: Sendable, Equatable {
    case bool(Bool)
    case number(Int32)
    case text(String)
  }

  var values: [Int: Value] = [:]

  func bytes() -> [UInt8] {
    encoded { w in
      for (number, value) in values.sorted(by: { $0.key < $1.key }) {
        switch value {
        case .bool(let flag): w.bool(number, Optional(flag))
        case .number(let value): w.int32(number, Optional(value))
        case .text(let text): w.string(number, Optional(text))
        }
      }
    }
  }
}

private func encoded(_ body: (inout WireWriter) -> Void) -> [UInt8] {
  var writer = WireWriter()
  body(&writer)
  return writer.bytes
}

private func rangeBytes(_ range: (Int32, Int32)) -> [UInt8] {
  encoded { w in
    w.int32(1, Optional(range.0))
    w.int32(2, Optional(range.1))
  }
}
