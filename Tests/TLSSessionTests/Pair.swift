@testable import TLSSession

/// A client and a server engine whose outputs are carried to each other by hand.
final class Pair {
  let client: TLSEngine
  let server: TLSEngine
  var clientReceived: [UInt8] = []
  var serverReceived: [UInt8] = []
  var clientEvents: [String] = []
  var serverEvents: [String] = []
  /// How many bytes are handed over at a time.
  var step = Int.max

  init(_ client: TLSEngine, _ server: TLSEngine) {
    self.client = client
    self.server = server
  }

  /// Carries bytes until both sides are silent, or throws what a side threw, after delivering its last output.
  func run() throws {
    try client.start()
    var failure: (any Error)?
    var isBusy = true
    while isBusy {
      isBusy = false
      for fromClient in [true, false] {
        let bytes = takeOutput(fromClient ? client : server)
        guard !bytes.isEmpty else { continue }
        isBusy = true
        do {
          try deliver(bytes, toServer: fromClient)
        } catch {
          failure = failure ?? error
        }
      }
    }
    if let failure { throw failure }
  }

  func takeOutput(_ engine: TLSEngine) -> [UInt8] {
    var bytes: [UInt8] = []
    engine.withOutput { output in
      bytes = Array(output)
      return output.count
    }
    return bytes
  }

  func deliver(_ bytes: [UInt8], toServer: Bool) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = Array(rest.prefix(step))
      rest = rest.dropFirst(step)
      let engine = toServer ? server : client
      try piece.withUnsafeBytes { piece in
        try engine.receive(piece) { event in
          switch event {
          case .handshakeCompleted: note("handshake", toServer)
          case .peerClosed: note("closed", toServer)
          case .plaintext(let bytes):
            if toServer { serverReceived += bytes } else { clientReceived += bytes }
          }
        }
      }
    }
  }

  private func note(_ event: String, _ atServer: Bool) {
    if atServer { serverEvents.append(event) } else { clientEvents.append(event) }
  }

  /// Sends all of it, carrying ciphertext over whenever the engine takes no more.
  func send(_ bytes: [UInt8], fromClient: Bool) throws {
    let engine = fromClient ? client : server
    var rest = bytes[...]
    while !rest.isEmpty {
      let taken = try Array(rest).withUnsafeBytes { try engine.send($0) }
      rest = rest.dropFirst(taken)
      try run()
    }
  }
}

/// An authority and identities as on one machine.
struct Site {
  let authority: CertificateAuthority
  var roots: PEMSource { .bytes(authority.certificate.pem) }

  init() throws { authority = try .make(commonName: "Test authority") }

  func identity(
    _ name: String, dns: [String] = [], ip: [String] = [], uris: [String] = [], days: Int = 1,
    now: Int64 = CertificateAuthority.systemTime()
  ) throws -> TLSIdentity {
    let request = CertificateAuthority.Request(
      commonName: name, dnsNames: dns, ipAddresses: ip, uris: uris, days: days, now: now)
    return try authority.issue(request).identity()
  }

  func pair(
    server: TLSIdentity, peer: ExpectedPeer, serverProtocols: [String] = [], clientProtocols: [String] = [],
    minimumVersion: TLSVersion = .v1_2
  ) throws -> Pair {
    let server = try TLSServerContext(
      TLSServerSettings(identity: server, protocols: serverProtocols, minimumVersion: minimumVersion))
    let client = try TLSClientContext(TLSClientSettings(roots: .pem(roots), protocols: clientProtocols))
    return Pair(try client.makeEngine(peer: peer), server.makeEngine())
  }
}
