/// The kinds of Prometheus metrics that the project uses.
enum MetricKind: String {
  case counter, gauge, histogram
}

/// What a metric is, beside its values.
package struct MetricDescription: Sendable {
  package let name: String
  package let help: String
  /// Upper bounds of a histogram, ascending, without +Inf.
  package let buckets: [Double]

  /// - Parameter buckets: for histograms; the default suits durations in seconds.
  package init(_ name: String, help: String, buckets: [Double] = MetricDescription.durations) {
    self.name = name
    self.help = help
    self.buckets = buckets
  }

  package static let durations = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
  ]
  package static let sizes = [
    256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864.0,
  ]
}

/// The label pairs of one series, in the order given.
struct MetricLabels: Hashable {
  let text: String

  init(_ pairs: [(String, String)]) {
    text = pairs.map { "\(metricName($0.0))=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
  }

  private static func escaped(_ value: String) -> String {
    var result = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

/// A name with everything that Prometheus does not allow turned into `_`.
func metricName(_ name: String) -> String {
  var result = String(
    decoding: name.utf8.map { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
        byte
      default: UInt8(ascii: "_")
      }
    }, as: UTF8.self)
  if let first = result.utf8.first, 0x30...0x39 ~= first { result = "_" + result }
  return result
}
