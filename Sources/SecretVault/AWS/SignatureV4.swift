package import CivilTime
package import TLSSession

/// AWS Signature Version 4: HMAC-SHA-256 over a canonical form of the request.
/// (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)
struct SignatureV4 {
  let credentials: AWSCredentials
  let region: String
  let service: String

  /// The value of `Authorization`.
  ///
  /// - Parameter headers: those to be signed; lower-case names, `host` and `x-amz-date` among them.
  /// - Parameter path: absolute and percent-encoded as it is sent. Parameter query: as it is sent, sorted.
  func authorization(
    method: String, path: String, query: String = "", headers: [(name: String, value: String)], body: [UInt8],
    at time: Timestamp
  ) -> String {
    let sorted = headers.sorted { $0.name < $1.name }
    let names = sorted.map(\.name).joined(separator: ";")
    let canonical = [
      method, path, query, sorted.map { "\($0.name):\(Self.trimmed($0.value))\n" }.joined(), names,
      Hex.encode(SHA256.hash(body)),
    ].joined(separator: "\n")
    let stamp = time.basicISO8601
    let scope = "\(stamp.prefix(8))/\(region)/\(service)/aws4_request"
    let toSign = [
      "AWS4-HMAC-SHA256", stamp, scope, Hex.encode(SHA256.hash(Array(canonical.utf8))),
    ].joined(separator: "\n")
    let signature = HMACSHA256.authenticate(Array(toSign.utf8), key: signingKey(day: String(stamp.prefix(8))))
    return "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope), SignedHeaders=\(names), "
      + "Signature=\(Hex.encode(signature))"
  }

  func signingKey(day: String) -> [UInt8] {
    var key = Array("AWS4".utf8) + credentials.secretAccessKey.revealed
    for part in [day, region, service, "aws4_request"] {
      key = HMACSHA256.authenticate(Array(part.utf8), key: key)
    }
    return key
  }

  /// Without spaces at the ends, and with one where there are several.
  private static func trimmed(_ value: String) -> String {
    value.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
  }
}

/// A key that AWS accepts, for ever or until its expiry.
package struct AWSCredentials: Sendable, Equatable {
  package let accessKeyID: String
  package let secretAccessKey: SecretBytes
  package let sessionToken: SecretBytes?
  package let expiresAt: Timestamp?

  package init(
    accessKeyID: String, secretAccessKey: SecretBytes, sessionToken: SecretBytes? = nil, expiresAt: Timestamp? = nil
  ) {
    self.accessKeyID = accessKeyID
    self.secretAccessKey = secretAccessKey
    self.sessionToken = sessionToken
    self.expiresAt = expiresAt
  }
}
