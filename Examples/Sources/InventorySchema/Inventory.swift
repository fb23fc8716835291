public import RPCRuntime
public import WireCodec

/// What `inventory.proto` declares, by hand.
public enum Inventory {
  public static let service = "inventory.v1.Inventory"
  public static let move = UnaryMethod<MoveRequest, Stock>(service, "Move")
  public static let list = ServerStreamingMethod<ListRequest, Stock>(service, "List")

  /// The schema's text, for the reflection service.
  public static let schema = ProtoFile(builtIn: "inventory.proto", source: PackageResources.inventory_proto)
}

public struct MoveRequest: WireMessage {
  public static let wireName = "inventory.v1.MoveRequest"
  public var article = ""
  public var pieces: Int64 = 0
  public init() {}

  public func encode(into w: inout WireWriter) {
    w.string(1, article)
    w.int64(2, pieces)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&article)
    case 2: try r.int64(&pieces)
    default: try r.skip()
    }
  }
}

public struct ListRequest: WireMessage {
  public static let wireName = "inventory.v1.ListRequest"
  public var prefix = ""
  public init() {}

  public func encode(into w: inout WireWriter) { w.string(1, prefix) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&prefix)
    default: try r.skip()
    }
  }
}

public struct Stock: WireMessage {
  public static let wireName = "inventory.v1.Stock"
  public var article = ""
  public var pieces: Int64 = 0
  public init() {}

  public func encode(into w: inout WireWriter) {
    w.string(1, article)
    w.int64(2, pieces)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&article)
    case 2: try r.int64(&pieces)
    default: try r.skip()
    }
  }
}
