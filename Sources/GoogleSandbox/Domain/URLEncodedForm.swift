import TLSSession

/// The fields of a query or of an `application/x-www-form-urlencoded` body, in their order.
struct URLEncodedForm: Equatable {
  private(set) var fields: [(name: String, value: String)] = []

  static func == (left: URLEncodedForm, right: URLEncodedForm) -> Bool {
    left.fields.elementsEqual(right.fields) { $0 == $1 }
  }

  init(_ fields: [(name: String, value: String)] = []) { self.fields = fields }

  /// Nil for a broken percent escape or bytes that are not UTF-8.
  init?(parsing text: some Collection<UInt8>) {
    for pair in text.split(separator: UInt8(ascii: "&")) {
      let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = PercentText.decode(parts[0], plusIsBlank: true),
        let value = parts.count > 1 ? PercentText.decode(parts[1], plusIsBlank: true) : ""
      else { return nil }
      fields.append((name, value))
    }
  }

  /// The value of a field that stands once; nil when it is missing or stands more than once.
  subscript(name: String) -> String? {
    let values = all(name)
    return values.count == 1 ? values[0] : nil
  }

  func all(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

  var firstRepeatedName: String? {
    var seen: Set<String> = []
    return fields.first { !seen.insert($0.name).inserted }?.name
  }

  mutating func append(_ name: String, _ value: String) { fields.append((name, value)) }

  var encoded: String {
    fields.map { "\(PercentText.encode($0.name))=\(PercentText.encode($0.value))" }.joined(separator: "&")
  }
}
