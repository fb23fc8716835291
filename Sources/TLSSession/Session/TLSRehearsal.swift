/// A handshake of two peers that both have the same identity and roots, from memory to memory: it fails as one with a real
/// peer would, with the reason, before there is one.
package enum TLSRehearsal {
  /// - Parameter uri: the name that the certificate is to have.
  package static func run(_ identity: TLSIdentity, roots: PEMSource, uri: String) throws(TLSError) {
    let server = try TLSServerContext(
      TLSServerSettings(identity: identity, clientRoots: roots, minimumVersion: .v1_3)
    ).makeEngine()
    let client = try TLSClientContext(
      TLSClientSettings(roots: .pem(roots), identity: identity, minimumVersion: .v1_3)
    ).makeEngine(peer: .uri(uri))
    try client.start()
    var isMoving = true
    while isMoving {
      let (there, back) = (try carry(from: client, to: server), try carry(from: server, to: client))
      isMoving = there || back
    }
  }

  /// - Returns: whether there was anything.
  private static func carry(from sender: TLSEngine, to receiver: TLSEngine) throws(TLSError) -> Bool {
    guard sender.pendingOutput > 0 else { return false }
    try sender.withOutput { (bytes) throws(TLSError) -> Int in
      try receiver.receive(bytes) { _ in }
      return bytes.count
    }
    return true
  }
}
