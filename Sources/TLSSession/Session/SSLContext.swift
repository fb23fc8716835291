internal import COpenSSL

/// Owns an `SSL_CTX` that is never changed after `init`, and what its callbacks point to.
///
/// Sendable although it holds a C pointer: OpenSSL documents an `SSL_CTX` as safe to share among threads once it
/// is no longer modified, and its reference count as atomic.
final class SSLContext: @unchecked Sendable {
  let pointer: OpaquePointer
  /// What we show, where we show something.
  private(set) var certificate: Certificate?
  private let alpnList: UnsafeMutableBufferPointer<UInt8>
  private let alpn: UnsafeMutablePointer<emcp_alpn>

  private init(method: OpaquePointer?, protocols: [String], minimumVersion: TLSVersion) throws(TLSError) {
    ERR_clear_error()
    let wire = try Self.encode(protocols)
    guard let pointer = SSL_CTX_new(method) else { throw .openSSL(.library, "creating a TLS context") }
    self.pointer = pointer
    alpnList = .allocate(capacity: wire.count)
    _ = alpnList.initialize(from: wire)
    alpn = .allocate(capacity: 1)
    alpn.initialize(to: emcp_alpn(list: UnsafePointer(alpnList.baseAddress), len: UInt32(wire.count)))
    _ = emcp_ssl_ctx_set_min_version(pointer, minimumVersion == .v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION)
    emcp_ssl_ctx_harden(pointer)
    emcp_ssl_ctx_use_verifier(pointer)
  }

  deinit {
    SSL_CTX_free(pointer)
    alpn.deallocate()
    alpnList.deallocate()
  }

  static func server(_ settings: TLSServerSettings) throws(TLSError) -> SSLContext {
    let context = try SSLContext(
      method: TLS_server_method(), protocols: settings.protocols, minimumVersion: settings.minimumVersion)
    try context.use(settings.identity)
    if let roots = settings.clientRoots {
      try context.trust(roots, announce: true)
      SSL_CTX_set_verify(context.pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }
    // A ticket of a session with a client certificate is only accepted where this name is set.
    SSL_CTX_set_session_id_context(context.pointer, "emailmcp", 8)
    SSL_CTX_set_num_tickets(context.pointer, settings.clientRoots == nil ? 1 : 0)
    if !settings.protocols.isEmpty { emcp_ssl_ctx_select_alpn(context.pointer, context.alpn) }
    return context
  }

  static func client(_ settings: TLSClientSettings) throws(TLSError) -> SSLContext {
    let context = try SSLContext(
      method: TLS_client_method(), protocols: settings.protocols, minimumVersion: settings.minimumVersion)
    if let identity = settings.identity { try context.use(identity) }
    switch settings.roots {
    case .pem(let source): try context.trust(source, announce: false)
    case .system:
      guard SSL_CTX_set_default_verify_paths(context.pointer) == 1 else {
        throw .openSSL(.configuration, "loading the system's trust roots")
      }
    }
    SSL_CTX_set_verify(context.pointer, SSL_VERIFY_PEER, nil)
    if let list = context.alpnList.baseAddress, !context.alpnList.isEmpty {
      // Unlike its relatives this function answers 0 for success.
      guard SSL_CTX_set_alpn_protos(context.pointer, list, UInt32(context.alpnList.count)) == 0 else {
        throw .openSSL(.configuration, "setting the ALPN protocols")
      }
    }
    return context
  }

  private func use(_ identity: TLSIdentity) throws(TLSError) {
    let chain = try Certificate.parse(pem: identity.certificateChain.load(), source: identity.certificateChain)
    guard let leaf = chain.first, SSL_CTX_use_certificate(pointer, leaf.pointer) == 1 else {
      throw .openSSL(.configuration, "using the certificate in \(identity.certificateChain)")
    }
    certificate = leaf
    for certificate in chain.dropFirst() {
      X509_up_ref(certificate.pointer)
      guard emcp_ssl_ctx_add0_chain_cert(pointer, certificate.pointer) == 1 else {
        X509_free(certificate.pointer)
        throw .openSSL(.configuration, "using the chain in \(identity.certificateChain)")
      }
    }
    let key = try PrivateKey(pem: identity.privateKey.load(), source: identity.privateKey)
    guard SSL_CTX_use_PrivateKey(pointer, key.pointer) == 1, SSL_CTX_check_private_key(pointer) == 1 else {
      throw .openSSL(.configuration, "using the key in \(identity.privateKey)")
    }
  }

  private func trust(_ roots: PEMSource, announce: Bool) throws(TLSError) {
    let store = SSL_CTX_get_cert_store(pointer)
    for root in try Certificate.parse(pem: roots.load(), source: roots) {
      guard X509_STORE_add_cert(store, root.pointer) == 1 else {
        throw .openSSL(.configuration, "trusting a certificate in \(roots)")
      }
      if announce { SSL_CTX_add_client_CA(pointer, root.pointer) }
    }
  }

  /// Lets tests be an old peer.
  func limitToTLS12() { _ = emcp_ssl_ctx_set_max_version(pointer, TLS1_2_VERSION) }

  /// The list as RFC 7301 writes it: a length byte before each name.
  private static func encode(_ protocols: [String]) throws(TLSError) -> [UInt8] {
    var wire: [UInt8] = []
    for name in protocols {
      guard (1...255).contains(name.utf8.count) else {
        throw TLSError(.configuration, "an ALPN protocol has 1 to 255 bytes")
      }
      wire.append(UInt8(name.utf8.count))
      wire += name.utf8
    }
    guard wire.count <= 65_535 else { throw TLSError(.configuration, "too many ALPN protocols") }
    return wire
  }
}
