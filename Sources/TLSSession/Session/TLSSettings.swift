/// Where PEM text comes from. Files are watched: see `TLSServerContext` and `TLSClientContext`.
public enum PEMSource: Hashable, Sendable, CustomStringConvertible {
  case file(String)
  case bytes([UInt8])

  public var description: String {
    switch self {
    case .file(let path): path
    case .bytes: "<bytes>"
    }
  }
}

/// A certificate chain (leaf first) and its private key.
public struct TLSIdentity: Hashable, Sendable {
  public var certificateChain: PEMSource
  public var privateKey: PEMSource

  public init(certificateChain: PEMSource, privateKey: PEMSource) {
    self.certificateChain = certificateChain
    self.privateKey = privateKey
  }

  public init(certificateFile: String, keyFile: String) {
    self.init(certificateChain: .file(certificateFile), privateKey: .file(keyFile))
  }
}

/// Whom we believe about a peer's certificate.
public enum TrustRoots: Hashable, Sendable {
  /// The system's certificate store.
  case system
  case pem(PEMSource)
}

public enum TLSVersion: Hashable, Sendable {
  case v1_2, v1_3
}

/// What a client expects of the server that it reaches.
public enum ExpectedPeer: Hashable, Sendable {
  /// A DNS name (also sent as SNI) or a literal IP address, matched against the certificate by RFC 9525.
  case host(String)
  /// A URI name such as `spiffe://emailmcp/oauth`: the certificate must have this URI name and no other.
  /// No DNS name is checked. `serverName` is sent as SNI when given.
  case uri(String, serverName: String? = nil)
}

/// How a server's sessions are set up.
public struct TLSServerSettings: Sendable {
  public var identity: TLSIdentity
  /// When given, every client must show a certificate that leads to one of these (mutual TLS).
  public var clientRoots: PEMSource?
  /// Offered protocols in order of preference; a client that offers others only is refused.
  public var protocols: [String]
  public var minimumVersion: TLSVersion

  public init(
    identity: TLSIdentity, clientRoots: PEMSource? = nil, protocols: [String] = [], minimumVersion: TLSVersion = .v1_2
  ) {
    self.identity = identity
    self.clientRoots = clientRoots
    self.protocols = protocols
    self.minimumVersion = minimumVersion
  }
}

/// How a client's sessions are set up. There is no way to leave the server unverified.
public struct TLSClientSettings: Sendable {
  public var roots: TrustRoots
  /// What we show to a server that asks for a certificate.
  public var identity: TLSIdentity?
  public var protocols: [String]
  public var minimumVersion: TLSVersion

  public init(
    roots: TrustRoots, identity: TLSIdentity? = nil, protocols: [String] = [], minimumVersion: TLSVersion = .v1_2
  ) {
    self.roots = roots
    self.identity = identity
    self.protocols = protocols
    self.minimumVersion = minimumVersion
  }
}

/// The outcome of looking at the files again.
public enum TLSReload: Hashable, Sendable {
  /// New sessions use the new files.
  case reloaded
  /// The files changed but cannot be used; new sessions go on with what was loaded before.
  case failed(TLSError)
}
