import CivilTime

/// The range of a request, checked as far as that goes without knowing any zone.
struct RequestedRange: Hashable, Sendable {
  enum Bound: Hashable, Sendable {
    case date(CivilDate)
    case time(Timestamp)
  }

  var start: Bound?
  var end: Bound?
  /// Looks like the name of a zone; whether it is one, the database knows.
  let zone: String

  /// - Parameter zone: empty for UTC.
  /// - Throws: ``RangeProblem/unknownZone`` for what cannot be a zone's name.
  init(start: Bound? = nil, end: Bound? = nil, zone: String = "") throws(RangeProblem) {
    self.start = start
    self.end = end
    self.zone = zone.isEmpty ? "UTC" : zone
    guard Self.looksLikeZone(self.zone) else { throw .unknownZone }
  }

  /// The characters of IANA's names (theory.html, "Timezone identifiers"), in parts divided by `/`.
  private static func looksLikeZone(_ name: String) -> Bool {
    name.utf8.count <= 64
      && name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
        guard let first = part.utf8.first, isLetter(first) else { return false }
        return part.utf8.allSatisfy { byte in
          isLetter(byte) || 0x30...0x39 ~= byte || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: "+")
        }
      }
  }

  private static func isLetter(_ byte: UInt8) -> Bool { 0x61...0x7a ~= byte | 0x20 }
}

/// Why there is no report for a range.
enum RangeProblem: Error, Hashable, Sendable {
  /// The bound is neither a day that exists nor a time in the years 1 to 9999.
  case badStart, badEnd
  /// The end lies before the start.
  case reversed
  case tooLarge
  case unknownZone
}
