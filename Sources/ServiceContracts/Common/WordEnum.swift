public import WireCodec

/// An enum whose values have a word each: the one that the REST API and the tables use.
public protocol WordEnum: WireEnum, CustomStringConvertible {
  /// The words of the values 1, 2, 3, …
  static var words: [StaticString] { get }
}

extension WordEnum {
  /// The value's word; nil for `unspecified` and for a value that this release does not know.
  public var word: String? {
    guard rawValue > 0, rawValue <= Self.words.count else { return nil }
    return "\(Self.words[Int(rawValue) - 1])"
  }

  /// Whether this release knows the value: a request that wants what it does not know is refused.
  package var isKnown: Bool { rawValue == 0 || word != nil }

  /// The value of exactly this word.
  public init?(word: String) {
    guard let index = Self.words.firstIndex(where: { $0.withUTF8Buffer { word.utf8.elementsEqual($0) } }) else {
      return nil
    }
    self.init(rawValue: Int32(index + 1))
  }

  public var description: String { word ?? (rawValue == 0 ? "unspecified" : "unknown(\(rawValue))") }
}
