public import RPCRuntime
public import WireCodec

/// `bench.EchoMessage`: what a small call usually carries.
public struct EchoMessage: WireMessage, Equatable {
  public static let wireName = "bench.EchoMessage"

  public var text = ""
  public var number: Int64 = 0
  public var data: [UInt8] = []

  public init() {}

  public var encodedSizeHint: Int { data.count + 128 }

  public func encode(into w: inout WireWriter) {
    w.string(1, text)
    w.int64(2, number)
    w.bytes(3, data)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&text)
    case 2: try r.int64(&self.number)
    case 3: try r.bytes(&data)
    default: try r.skip()
    }
  }
}

/// `bench.Echo`; what each method does stands in the README.
public enum Echo {
  public static let echo = UnaryMethod<EchoMessage, EchoMessage>("bench.Echo", "Echo")
  public static let collect = ClientStreamingMethod<EchoMessage, EchoMessage>("bench.Echo", "Collect")
  public static let expand = ServerStreamingMethod<EchoMessage, EchoMessage>("bench.Echo", "Expand")
  public static let stream = BidirectionalMethod<EchoMessage, EchoMessage>("bench.Echo", "Stream")
}
