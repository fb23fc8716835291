package import TLSSession

extension Keyring {
  /// The id of a pepper that is written without one.
  package static let unnamedPepper = "unnamed"

  /// The peppers of API keys, newest first: new keys are made under the first, and all check. One may be base64 alone, as
  /// the only one was written before there could be more.
  package init(peppers text: String) throws(KeyringError) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    try self.init(
      parsing: parts.map { $0.contains(":") ? String($0) : "\(Self.unnamedPepper):\($0.drop(while: \.isWhitespace))" }
        .joined(separator: ","))
  }
}
