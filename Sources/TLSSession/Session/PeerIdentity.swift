/// Who the other side proved to be by its certificate, whose chain has been verified.
public struct PeerIdentity: Hashable, Sendable {
  /// URI names, for example `spiffe://emailmcp/edge`.
  public let uris: [String]
  public let dnsNames: [String]
  /// One line, by RFC 2253.
  public let subject: String
  /// SHA-256 of the certificate's DER form.
  public let fingerprint: [UInt8]

  public init(uris: [String], dnsNames: [String] = [], subject: String = "", fingerprint: [UInt8] = []) {
    self.uris = uris
    self.dnsNames = dnsNames
    self.subject = subject
    self.fingerprint = fingerprint
  }

  init(_ certificate: Certificate) {
    let names = certificate.alternativeNames
    self.init(
      uris: names.uris, dnsNames: names.dnsNames, subject: certificate.subject, fingerprint: certificate.fingerprint)
  }

  /// The SPIFFE ID: the URI name, when it is the only one and of that scheme.
  public var spiffeID: String? {
    guard uris.count == 1, let uri = uris.first, uri.hasPrefix("spiffe://") else { return nil }
    return uri
  }
}
