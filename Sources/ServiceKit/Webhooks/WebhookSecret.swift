package import TLSSession

/// What an endpoint's webhooks are signed with (Standard Webhooks, "Signature scheme"): 24 to 64 bytes, shown once as
/// `whsec_` and base64.
package struct WebhookSecret: Sendable, CustomStringConvertible {
  package static let prefix = "whsec_"
  package static let sizes = 24...64
  /// How long the secret before the present one may sign too.
  package static let overlaps: ClosedRange<Duration> = .zero ... .seconds(7 * 86_400)
  package let bytes: SecretBytes

  package init(generating: Void = ()) { bytes = SecretBytes(randomCount: 32) }

  package init?(bytes: SecretBytes) {
    guard Self.sizes.contains(bytes.count) else { return nil }
    self.bytes = bytes
  }

  /// The secret in the clear, for the one who asked for it.
  package var revealed: String { Self.prefix + Base64.encode(bytes.revealed) }

  package var description: String { "<redacted>" }

  /// `v1,` and the base64 of HMAC-SHA256 over id, time and body.
  package func signature(id: String, timestamp: Int64, body: [UInt8]) -> String {
    "v1," + Base64.encode(HMACSHA256.authenticate(Array("\(id).\(timestamp).".utf8) + body, key: bytes))
  }

  /// Where a sealed secret stands, for `ColumnSeal`.
  package static func place(tenantID: String, endpointID: String) -> [String] {
    ["emailmcp webhook secret", tenantID, endpointID]
  }
}
