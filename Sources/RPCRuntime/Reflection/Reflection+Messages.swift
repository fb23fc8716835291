public import WireCodec

extension Reflection {
  /// A question.
  public struct Request: WireMessage, Hashable {
    public static let wireName = "grpc.reflection.v1.ServerReflectionRequest"

    /// The question.
    public enum MessageRequest: Sendable, Hashable {
      /// The file of this name.
      case fileByFilename(String)
      /// The file that declares this full name: a message, enum, service or method.
      case fileContainingSymbol(String)
      /// The file that declares this extension.
      case fileContainingExtension(ExtensionRequest)
      /// The numbers of all extensions of this message type.
      case allExtensionNumbersOfType(String)
      /// The full names of all services; the value does not matter.
      case listServices(String)
    }

    /// The server's host, as the client calls it; given back.
    public var host = ""

    /// The question.
    public var messageRequest: MessageRequest?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, host)
      switch messageRequest {
      case .fileByFilename(let value): w.string(3, Optional(value))
      case .fileContainingSymbol(let value): w.string(4, Optional(value))
      case .fileContainingExtension(let value): w.message(5, value)
      case .allExtensionNumbersOfType(let value): w.string(6, Optional(value))
      case .listServices(let value): w.string(7, Optional(value))
      case nil: break
      }
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&host)
      case 3: if let new = try r.string() { messageRequest = .fileByFilename(new) }
      case 4: if let new = try r.string() { messageRequest = .fileContainingSymbol(new) }
      case 5:
        var old: ExtensionRequest?
        if case .fileContainingExtension(let value) = messageRequest { old = value }
        if let new = try r.message(over: old) { messageRequest = .fileContainingExtension(new) }
      case 6: if let new = try r.string() { messageRequest = .allExtensionNumbersOfType(new) }
      case 7: if let new = try r.string() { messageRequest = .listServices(new) }
      default: try r.skip()
      }
    }
  }

  /// An extension by its number.
  public struct ExtensionRequest: WireMessage, Hashable {
    public static let wireName = "grpc.reflection.v1.ExtensionRequest"

    /// Full name of the extended message.
    public var containingType = ""

    /// The extension's number.
    public var extensionNumber: Int32 = 0

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, containingType)
      w.int32(2, extensionNumber)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&containingType)
      case 2: try r.int32(&extensionNumber)
      default: try r.skip()
      }
    }
  }

  /// An answer.
  public struct Response: WireMessage, Hashable {
    public static let wireName = "grpc.reflection.v1.ServerReflectionResponse"

    /// The answer.
    public enum MessageResponse: Sendable, Hashable {
      /// To the questions for files.
      case fileDescriptorResponse(FileDescriptorResponse)
      /// To all_extension_numbers_of_type.
      case allExtensionNumbersResponse(ExtensionNumberResponse)
      /// To list_services.
      case listServicesResponse(ListServiceResponse)
      /// It could not be answered.
      case errorResponse(ErrorResponse)
    }

    /// The host of the question.
    public var validHost = ""

    /// The question.
    public var originalRequest: Request?

    /// The answer.
    public var messageResponse: MessageResponse?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, validHost)
      w.message(2, originalRequest)
      switch messageResponse {
      case .fileDescriptorResponse(let value): w.message(4, value)
      case .allExtensionNumbersResponse(let value): w.message(5, value)
      case .listServicesResponse(let value): w.message(6, value)
      case .errorResponse(let value): w.message(7, value)
      case nil: break
      }
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&validHost)
      case 2: try r.message(&originalRequest)
      case 4:
        var old: FileDescriptorResponse?
        if case .fileDescriptorResponse(let value) = messageResponse { old = value }
        if let new = try r.message(over: old) { messageResponse = .fileDescriptorResponse(new) }
      case 5:
        var old: ExtensionNumberResponse?
        if case .allExtensionNumbersResponse(let value) = messageResponse { old = value }
        if let new = try r.message(over: old) { messageResponse = .allExtensionNumbersResponse(new) }
      case 6:
        var old: ListServiceResponse?
        if case .listServicesResponse(let value) = messageResponse { old = value }
        if let new = try r.message(over: old) { messageResponse = .listServicesResponse(new) }
      case 7:
        var old: ErrorResponse?
        if case .errorResponse(let value) = messageResponse { old = value }
        if let new = try r.message(over: old) { messageResponse = .errorResponse(new) }
      default: try r.skip()
      }
    }
  }

  /// Files, each after those that it imports or the other way round.
  public struct FileDescriptorResponse: WireMessage, Hashable {
    public static let wireName = "grpc.reflection.v1.FileDescriptorResponse"

    /// Serialized google.protobuf.FileDescriptorProto messages: the file and its imports not sent before on this call.
    public var fileDescriptorProto: [[UInt8]] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.byteStrings(1, fileDescriptorProto)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.byteStrings(&fileDescriptorProto)
      default: try r.skip()
      }
    }
  }

  /// Numbers of extensions.
  public struct ExtensionNumberResponse: WireMessage, Hashable {
    public static let wireName = "grpc.reflection.v1.ExtensionNumberResponse"

    /// Full name of the extended message.
    public var baseTypeName = ""

    /// The numbers.
    public var extensionNumber: [Int32] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, baseTypeName)
      w.int32s(2, extensionNumber)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&baseTypeName)
      case 2: try r.int32s(&extensionNumber)
      default: try r.skip()
      }
    }
  }

  /// Services.
  public struct ListServiceResponse: WireMessage, Hashable {
    public static let wireName = "grpc.reflection.v1.ListServiceResponse"

    /// One each.
    public var service: [ServiceResponse] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.messages(1, service)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.messages(&service)
      default: try r.skip()
      }
    }
  }

  /// A service.
  public struct ServiceResponse: WireMessage, Hashable {
    public static let wireName = "grpc.reflection.v1.ServiceResponse"

    /// Its full name.
    public var name = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, name)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&name)
      default: try r.skip()
      }
    }
  }

  /// Why a question has no answer.
  public struct ErrorResponse: WireMessage, Hashable {
    public static let wireName = "grpc.reflection.v1.ErrorResponse"

    /// A gRPC status code.
    public var errorCode: Int32 = 0

    /// In words.
    public var errorMessage = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.int32(1, errorCode)
      w.string(2, errorMessage)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int32(&errorCode)
      case 2: try r.string(&errorMessage)
      default: try r.skip()
      }
    }
  }
}
