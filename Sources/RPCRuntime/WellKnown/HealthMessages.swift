public import WireCodec

/// Whether a service takes calls: `grpc.health.v1.HealthCheckResponse.ServingStatus`.
public struct ServingStatus: WireEnum {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let unknown = Self(rawValue: 0)
  public static let serving = Self(rawValue: 1)
  public static let notServing = Self(rawValue: 2)
  /// No such service here; in answers of `Watch` alone.
  public static let serviceUnknown = Self(rawValue: 3)
}

/// `grpc.health.v1.HealthCheckRequest`.
public struct HealthCheckRequest: WireMessage, Hashable {
  public static let wireName = "grpc.health.v1.HealthCheckRequest"

  /// The service's full name, or "" for the whole server.
  public var service = ""

  public init() {}

  public init(service: String) { self.service = service }

  public func encode(into w: inout WireWriter) { w.string(1, service) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&service)
    default: try r.skip()
    }
  }
}

/// `grpc.health.v1.HealthCheckResponse`.
public struct HealthCheckResponse: WireMessage, Hashable {
  public static let wireName = "grpc.health.v1.HealthCheckResponse"

  public var status = ServingStatus.unknown

  public init() {}

  public init(_ status: ServingStatus) { self.status = status }

  public func encode(into w: inout WireWriter) { w.enum(1, status) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.enum(&status)
    default: try r.skip()
    }
  }
}

/// `grpc.health.v1.HealthListRequest`.
public struct HealthListRequest: WireMessage, Hashable {
  public static let wireName = "grpc.health.v1.HealthListRequest"

  public init() {}

  public func encode(into w: inout WireWriter) {}

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) { try r.skip() }
}

/// `grpc.health.v1.HealthListResponse`.
public struct HealthListResponse: WireMessage, Hashable {
  public static let wireName = "grpc.health.v1.HealthListResponse"

  /// An entry of the map, as the wire has it.
  private struct Entry: WireMessage {
    static let wireName = "grpc.health.v1.HealthListResponse.StatusesEntry"
    var service = ""
    var response: HealthCheckResponse?

    func encode(into w: inout WireWriter) {
      w.string(1, Optional(service))
      w.message(2, response)
    }

    mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&service)
      case 2: try r.message(&response)
      default: try r.skip()
      }
    }
  }

  /// The state of each service, by its full name.
  public var statuses: [String: HealthCheckResponse] = [:]

  public init() {}

  public func encode(into w: inout WireWriter) {
    let entries = statuses.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map { service, response in
      Entry {
        $0.service = service
        $0.response = response
      }
    }
    w.messages(1, entries)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    guard number == 1 else { return try r.skip() }
    var entries: [Entry] = []
    try r.messages(&entries)
    for entry in entries { statuses[entry.service] = entry.response ?? HealthCheckResponse() }
  }
}

/// The methods of `grpc.health.v1.Health`.
public enum Health {
  public static let check = UnaryMethod<HealthCheckRequest, HealthCheckResponse>("grpc.health.v1.Health", "Check")
  public static let list = UnaryMethod<HealthListRequest, HealthListResponse>("grpc.health.v1.Health", "List")
  public static let watch = ServerStreamingMethod<HealthCheckRequest, HealthCheckResponse>(
    "grpc.health.v1.Health", "Watch")
}
