/// How much one JSON text may ask of its reader.
package struct JSONLimits: Sendable {
  /// Bytes in the whole text. Default 64 KiB: more than any request but one with a mail in it.
  package var maximumBytes: Int
  /// Arrays and objects inside one another. Default 32, far above every document of the API and far below the stack.
  package var maximumDepth: Int
  /// Values of every kind. Default 100,000: a value takes some 40 bytes of memory but may take only two of the text.
  package var maximumValues: Int

  package init(maximumBytes: Int = 64 << 10, maximumDepth: Int = 32, maximumValues: Int = 100_000) {
    self.maximumBytes = maximumBytes
    self.maximumDepth = maximumDepth
    self.maximumValues = maximumValues
  }
}
