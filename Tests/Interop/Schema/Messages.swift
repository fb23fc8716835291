public import WireCodec

// The messages of grpc/testing/messages.proto and empty.proto, as far as the cases use them.

public struct Empty: WireMessage, Equatable {
  public static let wireName = "grpc.testing.Empty"
  public init() {}
  public func encode(into w: inout WireWriter) {}
  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) { try r.skip() }
}

/// A bool that may be absent.
public struct BoolValue: WireMessage, Equatable {
  public static let wireName = "grpc.testing.BoolValue"
  public var value = false
  public init() {}

  public init(_ value: Bool) { self.value = value }

  public func encode(into w: inout WireWriter) { w.bool(1, value) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.bool(&value)
    default: try r.skip()
    }
  }
}

public struct PayloadType: WireEnum {
  public var rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public static let compressable = Self(rawValue: 0)
}

public struct Payload: WireMessage, Equatable {
  public static let wireName = "grpc.testing.Payload"
  public var type = PayloadType()
  public var body: [UInt8] = []
  public init() {}

  /// So many zero bytes.
  public init(zeros count: Int32) { body = [UInt8](repeating: 0, count: Int(count)) }

  public var encodedSizeHint: Int { body.count + 16 }

  public func encode(into w: inout WireWriter) {
    w.enum(1, type)
    w.bytes(2, body)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.enum(&type)
    case 2: try r.bytes(&body)
    default: try r.skip()
    }
  }
}

/// The status that the server is to answer with.
public struct EchoStatus: WireMessage, Equatable {
  public static let wireName = "grpc.testing.EchoStatus"
  public var code: Int32 = 0
  public var message = ""
  public init() {}

  public func encode(into w: inout WireWriter) {
    w.int32(1, code)
    w.string(2, message)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.int32(&code)
    case 2: try r.string(&message)
    default: try r.skip()
    }
  }
}

public struct SimpleRequest: WireMessage, Equatable {
  public static let wireName = "grpc.testing.SimpleRequest"
  public var responseType = PayloadType()
  public var responseSize: Int32 = 0
  public var payload: Payload?
  public var responseCompressed: BoolValue?
  public var responseStatus: EchoStatus?
  public var expectCompressed: BoolValue?
  public init() {}

  public var encodedSizeHint: Int { (payload?.encodedSizeHint ?? 0) + 128 }

  public func encode(into w: inout WireWriter) {
    w.enum(1, responseType)
    w.int32(2, responseSize)
    w.message(3, payload)
    w.message(6, responseCompressed)
    w.message(7, responseStatus)
    w.message(8, expectCompressed)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.enum(&responseType)
    case 2: try r.int32(&responseSize)
    case 3: try r.message(&payload)
    case 6: try r.message(&responseCompressed)
    case 7: try r.message(&responseStatus)
    case 8: try r.message(&expectCompressed)
    default: try r.skip()
    }
  }
}

public struct SimpleResponse: WireMessage, Equatable {
  public static let wireName = "grpc.testing.SimpleResponse"
  public var payload: Payload?
  public init() {}

  public var encodedSizeHint: Int { (payload?.encodedSizeHint ?? 0) + 128 }

  public func encode(into w: inout WireWriter) { w.message(1, payload) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.message(&payload)
    default: try r.skip()
    }
  }
}

public struct StreamingInputCallRequest: WireMessage, Equatable {
  public static let wireName = "grpc.testing.StreamingInputCallRequest"
  public var payload: Payload?
  public var expectCompressed: BoolValue?
  public init() {}

  public var encodedSizeHint: Int { (payload?.encodedSizeHint ?? 0) + 128 }

  public func encode(into w: inout WireWriter) {
    w.message(1, payload)
    w.message(2, expectCompressed)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.message(&payload)
    case 2: try r.message(&expectCompressed)
    default: try r.skip()
    }
  }
}

public struct StreamingInputCallResponse: WireMessage, Equatable {
  public static let wireName = "grpc.testing.StreamingInputCallResponse"
  public var aggregatedPayloadSize: Int32 = 0
  public init() {}

  public func encode(into w: inout WireWriter) { w.int32(1, aggregatedPayloadSize) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.int32(&aggregatedPayloadSize)
    default: try r.skip()
    }
  }
}

public struct ResponseParameters: WireMessage, Equatable {
  public static let wireName = "grpc.testing.ResponseParameters"
  public var size: Int32 = 0
  /// Before the response is sent, in microseconds.
  public var interval: Int32 = 0
  public var compressed: BoolValue?
  public init() {}

  public init(size: Int32, compressed: Bool? = nil) {
    self.size = size
    self.compressed = compressed.map { BoolValue($0) }
  }

  public func encode(into w: inout WireWriter) {
    w.int32(1, size)
    w.int32(2, interval)
    w.message(3, compressed)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.int32(&size)
    case 2: try r.int32(&interval)
    case 3: try r.message(&compressed)
    default: try r.skip()
    }
  }
}

public struct StreamingOutputCallRequest: WireMessage, Equatable {
  public static let wireName = "grpc.testing.StreamingOutputCallRequest"
  public var responseType = PayloadType()
  public var responseParameters: [ResponseParameters] = []
  public var payload: Payload?
  public var responseStatus: EchoStatus?
  public init() {}

  public var encodedSizeHint: Int { (payload?.encodedSizeHint ?? 0) + 128 }

  public func encode(into w: inout WireWriter) {
    w.enum(1, responseType)
    w.messages(2, responseParameters)
    w.message(3, payload)
    w.message(7, responseStatus)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.enum(&responseType)
    case 2: try r.messages(&responseParameters)
    case 3: try r.message(&payload)
    case 7: try r.message(&responseStatus)
    default: try r.skip()
    }
  }
}

public struct StreamingOutputCallResponse: WireMessage, Equatable {
  public static let wireName = "grpc.testing.StreamingOutputCallResponse"
  public var payload: Payload?
  public init() {}

  public var encodedSizeHint: Int { (payload?.encodedSizeHint ?? 0) + 128 }

  public func encode(into w: inout WireWriter) { w.message(1, payload) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.message(&payload)
    default: try r.skip()
    }
  }
}
