/// Punycode (RFC 3492), the encoding direction only: nothing here shows a domain to a person.
enum Punycode {
  private static let base = 36
  private static let minimum = 1
  private static let maximum = 26
  private static let skew = 38
  private static let damping = 700

  /// The encoded label without `xn--`; `nil` when it would not fit a DNS label anyway.
  static func encode(_ label: String) -> String? {
    let input = label.unicodeScalars.map { Int($0.value) }
    guard input.count <= MailDomain.maximumLabel else { return nil }
    var output = input.filter { $0 < 0x80 }.map { UInt8($0) }
    let basicCount = output.count
    var handled = basicCount
    if basicCount > 0 { output.append(UInt8(ascii: "-")) }
    var code = 0x80
    var delta = 0
    var bias = 72
    while handled < input.count {
      guard let next = input.lazy.filter({ $0 >= code }).min() else { return nil }
      delta += (next - code) * (handled + 1)
      code = next
      for value in input {
        if value < code { delta += 1 }
        guard value == code else { continue }
        append(delta, bias: bias, to: &output)
        bias = adapt(delta, count: handled + 1, first: handled == basicCount)
        delta = 0
        handled += 1
      }
      delta += 1
      code += 1
    }
    return String(decoding: output, as: UTF8.self)
  }

  private static func append(_ delta: Int, bias: Int, to output: inout [UInt8]) {
    var quotient = delta
    var threshold = base
    while true {
      let limit = min(max(threshold - bias, minimum), maximum)
      guard quotient >= limit else { break }
      output.append(digit(limit + (quotient - limit) % (base - limit)))
      quotient = (quotient - limit) / (base - limit)
      threshold += base
    }
    output.append(digit(quotient))
  }

  private static func adapt(_ delta: Int, count: Int, first: Bool) -> Int {
    var delta = first ? delta / damping : delta / 2
    delta += delta / count
    var steps = 0
    while delta > ((base - minimum) * maximum) / 2 {
      delta /= base - minimum
      steps += base
    }
    return steps + (base - minimum + 1) * delta / (delta + skew)
  }

  private static func digit(_ value: Int) -> UInt8 {
    value < 26 ? UInt8(ascii: "a") + UInt8(value) : UInt8(ascii: "0") + UInt8(value - 26)
  }
}
