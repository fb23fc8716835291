import RPCRuntime
import WireCodec

/// A message's properties by name, as JSON: what the judge compares with its own reading. Names are lower-cased without
/// underscores, so that `messageID` and `message_id` are one.
indirect enum MessageDump: Encodable {
  case null
  case bool(Bool)
  case text(String)
  case list([MessageDump])
  case object([String: MessageDump])

  init(_ value: Any) {
    switch value {
    case let value as String: self = .text(value)
    case let bytes as [UInt8] where type(of: value) == [UInt8].self: self = .text(hex(bytes))
    case let value as Bool: self = .bool(value)
    case let value as Double: self = .text("d" + hex(withUnsafeBytes(of: value.bitPattern.bigEndian) { [UInt8]($0) }))
    case let value as any FixedWidthInteger: self = .text("\(value)")
    case let value as any WireEnum: self = .text("\(value.rawValue)")
    case let value as WireMap:
      self = .object(.init(uniqueKeysWithValues: value.pairs.map { ($0.key, .text($0.value)) }))
    case let value as [String: HealthCheckResponse]: self = .object(value.mapValues { MessageDump($0) })
    case let value as Duration:
      let (seconds, attoseconds) = value.components
      self = .object(["seconds": .text("\(seconds)"), "nanos": .text("\(attoseconds / 1_000_000_000)")])
    default: self.init(reflecting: Mirror(reflecting: value))
    }
  }

  private init(reflecting mirror: Mirror) {
    switch mirror.displayStyle {
    case .optional: self = mirror.children.first.map { MessageDump($0.value) } ?? .null
    case .collection: self = .list(mirror.children.map { MessageDump($0.value) })
    default:
      self = .object(
        .init(
          uniqueKeysWithValues: mirror.children.map { child in
            (child.label!.replacing("_", with: "").lowercased(), MessageDump(child.value))
          }))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .text(let value): try container.encode(value)
    case .list(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }
}

func hex(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

func bytes(hex: String) -> [UInt8] {
  let digits = hex.utf8.map { $0 < 0x3a ? $0 - 0x30 : $0 - 0x57 }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
