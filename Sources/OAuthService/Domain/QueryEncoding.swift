import TLSSession

/// Names and values as a URL's query or a form body carries them.
enum QueryEncoding {
  static func encode(_ pairs: [(name: String, value: String)]) -> String {
    pairs.map { "\(PercentText.encode($0.name))=\(PercentText.encode($0.value))" }.joined(separator: "&")
  }

  /// `url` with `pairs` added to its query, before a fragment if it has one.
  static func append(_ pairs: [(name: String, value: String)], to url: String) -> String {
    let fragment = url.firstIndex(of: "#") ?? url.endIndex
    let base = url[..<fragment]
    let separator =
      if !base.contains("?") { "?" } else if base.hasSuffix("?") || base.hasSuffix("&") { "" } else { "&" }
    return base + separator + encode(pairs) + url[fragment...]
  }
}
