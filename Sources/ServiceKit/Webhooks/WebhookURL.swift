package import URLSyntax

/// Where an endpoint's webhooks go: `https://host[:port]/path?query`, without user name and fragment. Plain http names
/// this very machine or nothing: whether that is wanted is the sender's to say.
package struct WebhookURL: Sendable, Hashable, CustomStringConvertible {
  /// In bytes, of the text as given and of the description, which always has a path: it is what is kept.
  package static let maximumLength = 2048

  package let url: HTTPURL

  package init?(_ text: String) {
    guard text.utf8.count <= Self.maximumLength, let url = HTTPURL(text), url.isTrustworthy else { return nil }
    self.url = url
    guard description.utf8.count <= Self.maximumLength else { return nil }
  }

  /// Without brackets, in lower case.
  package var host: String { url.host }
  package var port: UInt16 { url.port ?? (isPlaintext ? 80 : 443) }

  package var description: String { "\(url.scheme)://\(url.authority)\(url.target)" }
  package var isPlaintext: Bool { url.scheme == .http }
}
