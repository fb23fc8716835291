/// The form that RFC 8058 §3.1 has a mail program post: one field, as `multipart/form-data` or urlencoded.
enum OneClick {
  /// Bytes; the field with its wrapping needs a few hundred.
  static let maximumBody = 4096

  /// - Parameter contentType: the media type, without parameters.
  static func isAsked(for body: [UInt8], contentType: String?) -> Bool {
    guard let text = String(validating: body, as: UTF8.self) else { return false }
    switch contentType {
    case "application/x-www-form-urlencoded":
      return text.split(separator: "&").contains {
        $0.filter { $0 != "\r\n" && $0 != "\n" } == "List-Unsubscribe=One-Click"
      }
    case "multipart/form-data":
      return isInParts(text)
    default: return false
    }
  }

  /// Whether a part of that name has that content. The boundary needs no reading: it is whatever line begins the body.
  private static func isInParts(_ text: String) -> Bool {
    let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
    guard let boundary = lines.first, boundary.hasPrefix("--"), boundary.utf8.count > 2 else { return false }
    for part in lines.split(whereSeparator: { $0 == boundary || $0 == boundary + "--" }) {
      guard let gap = part.firstIndex(of: "") else { continue }
      let isNamed = part[..<gap].contains {
        $0.lowercased().hasPrefix("content-disposition:") && $0.contains("name=\"List-Unsubscribe\"")
      }
      if isNamed, part[(gap + 1)...].elementsEqual(["One-Click"]) { return true }
    }
    return false
  }
}
