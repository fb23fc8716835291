/// Reads the text of a `.proto` file of edition proto3. Options that are not `descriptor.proto`'s own are passed over;
/// extensions are not read: proto3 has them for options alone.
struct ProtoParser {
  private var tokens: ProtoTokens
  private var file: FileSchema

  static func parse(_ source: [UInt8], name: String) throws(ProtoSyntaxError) -> FileSchema {
    var parser = ProtoParser(tokens: try ProtoTokens(source), file: FileSchema(name: name))
    try parser.parseFile()
    return parser.file
  }

  private mutating func parseFile() throws(ProtoSyntaxError) {
    guard try tokens.take(word: "syntax"), try tokens.take("="), try tokens.string() == "proto3" else {
      throw tokens.fault("the file begins with: syntax = \"proto3\";")
    }
    try tokens.expect(";")
    while tokens.next != .end {
      if try tokens.take(";") { continue }
      switch try tokens.word() {
      case "package":
        file.package = try tokens.word()
        try tokens.expect(";")
      case "import":
        if try tokens.take(word: "public") { file.publicDependencies.append(Int32(file.dependencies.count)) }
        file.dependencies.append(try tokens.string())
        try tokens.expect(";")
      case "option":
        var options = file.options
        try option(Self.fileOptions, &options)
        file.options = options
      case "message": file.messages.append(try message())
      case "enum": file.enums.append(try enumeration())
      case "service": file.services.append(try service())
      case let word: throw tokens.fault("\"\(word)\" cannot stand here")
      }
    }
  }

  // MARK: Messages

  private mutating func message() throws(ProtoSyntaxError) -> MessageSchema {
    var message = MessageSchema(name: try tokens.word())
    try tokens.expect("{")
    while !(try tokens.take("}")) {
      if try tokens.take(";") { continue }
      switch try tokens.word() {
      case "message": message.messages.append(try self.message())
      case "enum": message.enums.append(try enumeration())
      case "option": try option(Self.messageOptions, &message.options)
      case "reserved": try reserved(&message.reservedRanges, &message.reservedNames, endOffset: 1)
      case "oneof": try oneof(in: &message)
      case "map": try map(in: &message)
      case "repeated":
        var field = try self.field(of: try tokens.word())
        field.isRepeated = true
        message.fields.append(field)
      case "optional":
        var field = try self.field(of: try tokens.word())
        field.isOptional = true
        message.fields.append(field)
      case let type: message.fields.append(try field(of: type))
      }
    }
    // What tells that an optional field is there is a choice of one, behind the written ones.
    for index in message.fields.indices where message.fields[index].isOptional {
      message.fields[index].oneofIndex = Int32(message.oneofs.count)
      message.oneofs.append("_" + message.fields[index].name)
    }
    return message
  }

  private mutating func oneof(in message: inout MessageSchema) throws(ProtoSyntaxError) {
    let index = Int32(message.oneofs.count)
    message.oneofs.append(try tokens.word())
    try tokens.expect("{")
    while !(try tokens.take("}")) {
      if try tokens.take(";") { continue }
      var none: SchemaOptions?
      let word = try tokens.word()
      guard word != "option" else {
        try option([:], &none)
        continue
      }
      var field = try self.field(of: word)
      field.oneofIndex = index
      message.fields.append(field)
    }
  }

  /// A map is a list of pairs, of a message type that nobody writes.
  private mutating func map(in message: inout MessageSchema) throws(ProtoSyntaxError) {
    try tokens.expect("<")
    var key = FieldSchema(name: "key", number: 1)
    setType(try tokens.word(), of: &key)
    try tokens.expect(",")
    var value = FieldSchema(name: "value", number: 2)
    setType(try tokens.word(), of: &value)
    try tokens.expect(">")
    let name = try tokens.word()
    let entry = FieldSchema.camelCased(name, firstIsCapital: true) + "Entry"
    var field = try numbered(name)
    field.isRepeated = true
    field.typeName = entry
    message.fields.append(field)
    message.messages.append(
      MessageSchema(name: entry, fields: [key, value], options: SchemaOptions(values: [7: .bool(true)])))
  }

  private mutating func field(of type: String) throws(ProtoSyntaxError) -> FieldSchema {
    var field = try numbered(try tokens.word())
    setType(type, of: &field)
    return field
  }

  private func setType(_ type: String, of field: inout FieldSchema) {
    field.type = FieldSchema.scalarTypes[type]
    if field.type == nil { field.typeName = type }
  }

  /// `= number [options];`
  private mutating func numbered(_ name: String) throws(ProtoSyntaxError) -> FieldSchema {
    try tokens.expect("=")
    var field = FieldSchema(name: name, number: try tokens.number())
    guard field.number > 0 else { throw tokens.fault("a field's number is 1 or more") }
    if let jsonName = try bracketedOptions(Self.fieldOptions, &field.options) { field.jsonName = jsonName }
    try tokens.expect(";")
    return field
  }

  // MARK: Enums and services

  private mutating func enumeration() throws(ProtoSyntaxError) -> EnumSchema {
    var result = EnumSchema(name: try tokens.word())
    try tokens.expect("{")
    while !(try tokens.take("}")) {
      if try tokens.take(";") { continue }
      switch try tokens.word() {
      case "option": try option(Self.enumOptions, &result.options)
      case "reserved": try reserved(&result.reservedRanges, &result.reservedNames, endOffset: 0)
      case let name:
        try tokens.expect("=")
        let number = try tokens.number()
        var options: SchemaOptions?
        _ = try bracketedOptions(Self.valueOptions, &options)
        try tokens.expect(";")
        result.values.append((name, number, options))
      }
    }
    return result
  }

  private mutating func service() throws(ProtoSyntaxError) -> ServiceSchema {
    var result = ServiceSchema(name: try tokens.word())
    try tokens.expect("{")
    while !(try tokens.take("}")) {
      if try tokens.take(";") { continue }
      switch try tokens.word() {
      case "option": try option(Self.serviceOptions, &result.options)
      case "rpc": result.methods.append(try method())
      case let word: throw tokens.fault("\"\(word)\" cannot stand in a service")
      }
    }
    return result
  }

  private mutating func method() throws(ProtoSyntaxError) -> ServiceSchema.Method {
    let name = try tokens.word()
    let (input, streamsInput) = try parameter()
    guard try tokens.take(word: "returns") else { throw tokens.fault("\"returns\" is expected") }
    let (output, streamsOutput) = try parameter()
    var options: SchemaOptions?
    if try tokens.take("{") {
      options = SchemaOptions()
      while !(try tokens.take("}")) {
        if try tokens.take(";") { continue }
        guard try tokens.word() == "option" else { throw tokens.fault("\"option\" is expected") }
        try option(Self.methodOptions, &options)
      }
    } else {
      try tokens.expect(";")
    }
    return ServiceSchema.Method(
      name: name, input: input, output: output, options: options, streamsInput: streamsInput,
      streamsOutput: streamsOutput)
  }

  private mutating func parameter() throws(ProtoSyntaxError) -> (String, Bool) {
    try tokens.expect("(")
    let isStream = try tokens.take(word: "stream")
    let type = try tokens.word()
    try tokens.expect(")")
    return (type, isStream)
  }

  private mutating func reserved(
    _ ranges: inout [(Int32, Int32)], _ names: inout [String], endOffset: Int32
  ) throws(ProtoSyntaxError) {
    repeat {
      if case .string = tokens.next {
        names.append(try tokens.string())
        continue
      }
      let start = try tokens.number()
      guard try tokens.take(word: "to") else {
        ranges.append((start, start + endOffset))
        continue
      }
      let isOpen = try tokens.take(word: "max")
      let largest = endOffset == 1 ? 536_870_911 : Int32.max
      ranges.append((start, (isOpen ? largest : try tokens.number()) + endOffset))
    } while try tokens.take(",")
    try tokens.expect(";")
  }

  // MARK: Options

  private enum OptionKind { case bool, text, word([String: Int32]) }
  private typealias OptionTable = [String: (Int, OptionKind)]

  private static let fileOptions: OptionTable = [
    "java_package": (1, .text), "java_outer_classname": (8, .text), "java_multiple_files": (10, .bool),
    "optimize_for": (9, .word(["SPEED": 1, "CODE_SIZE": 2, "LITE_RUNTIME": 3])), "go_package": (11, .text),
    "deprecated": (23, .bool), "cc_enable_arenas": (31, .bool), "objc_class_prefix": (36, .text),
    "csharp_namespace": (37, .text), "swift_prefix": (39, .text), "php_class_prefix": (40, .text),
    "php_namespace": (41, .text), "ruby_package": (45, .text),
  ]
  private static let messageOptions: OptionTable = ["deprecated": (3, .bool)]
  private static let fieldOptions: OptionTable = [
    "packed": (2, .bool), "deprecated": (3, .bool),
    "jstype": (6, .word(["JS_NORMAL": 0, "JS_STRING": 1, "JS_NUMBER": 2])),
  ]
  private static let enumOptions: OptionTable = ["allow_alias": (2, .bool), "deprecated": (3, .bool)]
  private static let valueOptions: OptionTable = ["deprecated": (1, .bool)]
  private static let serviceOptions: OptionTable = ["deprecated": (33, .bool)]
  private static let methodOptions: OptionTable = [
    "deprecated": (33, .bool),
    "idempotency_level": (34, .word(["IDEMPOTENCY_UNKNOWN": 0, "NO_SIDE_EFFECTS": 1, "IDEMPOTENT": 2])),
  ]

  /// `name = value;` behind the word `option`.
  private mutating func option(_ table: OptionTable, _ options: inout SchemaOptions?) throws(ProtoSyntaxError) {
    _ = try assignment(table, &options)
    try tokens.expect(";")
  }

  /// `[name = value, …]`, if it is there.
  ///
  /// - Returns: the field's name in JSON, which is written like an option and is none.
  private mutating func bracketedOptions(
    _ table: OptionTable, _ options: inout SchemaOptions?
  ) throws(ProtoSyntaxError) -> String? {
    guard try tokens.take("[") else { return nil }
    var jsonName: String?
    repeat {
      if let name = try assignment(table, &options) { jsonName = name }
    } while try tokens.take(",")
    try tokens.expect("]")
    return jsonName
  }

  private mutating func assignment(
    _ table: OptionTable, _ options: inout SchemaOptions?
  ) throws(ProtoSyntaxError) -> String? {
    var name = ""
    while !(try tokens.take("=")) {
      switch try tokens.take() {
      case .word(let word): name += word
      case .sign(let sign) where "()".contains(sign): name += String(sign)
      default: throw tokens.fault("an option's name is expected")
      }
    }
    if name == "json_name" { return try tokens.string() }
    guard let (number, kind) = table[name] else {
      try skipValue()
      return nil
    }
    var kept = options ?? SchemaOptions()
    switch kind {
    case .bool: kept.values[number] = .bool(try tokens.word() == "true")
    case .text: kept.values[number] = .text(try tokens.string())
    case .word(let words):
      guard let value = words[try tokens.word()] else { throw tokens.fault("\(name) has no such value") }
      kept.values[number] = .number(value)
    }
    options = kept
    return nil
  }

  private mutating func skipValue() throws(ProtoSyntaxError) {
    var depth = 0
    repeat {
      switch try tokens.take() {
      case .sign("{"): depth += 1
      case .sign("}"): depth -= 1
      case .sign("-"), .sign("+"): try skipValue()
      case .end: throw tokens.fault("an option has no end")
      default: break
      }
    } while depth > 0
    while case .string = tokens.next { _ = try tokens.take() }
  }
}
