import Foundation
import Synchronization
import Testing

@testable import TLSSession

@Suite("Reload")
struct ReloadTests {
  let site: Site
  let folder: String

  init() throws {
    site = try Site()
    folder = NSTemporaryDirectory() + "emailmcp-tls-" + Hex.encode(SecureRandom.bytes(8))
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private var identity: TLSIdentity { TLSIdentity(certificateFile: folder + "/cert.pem", keyFile: folder + "/key.pem") }

  /// Writes a new pair as a careful administrator does: aside, then renamed.
  private func issue(_ name: String) throws {
    let issued = try site.authority.issue(.init(commonName: name, dnsNames: ["localhost"]))
    try write(issued.certificate.pem, "cert.pem")
    try write(issued.key.pem().revealed, "key.pem")
  }

  private func write(_ bytes: [UInt8], _ name: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: folder + "/" + name), options: .atomic)
  }

  private func servedName(_ server: TLSServerContext) throws -> String? {
    let client = try TLSClientContext(TLSClientSettings(roots: .pem(site.roots)))
    let pair = Pair(try client.makeEngine(peer: .host("localhost")), server.makeEngine())
    try pair.run()
    return pair.client.peerIdentity?.subject
  }

  @Test("New files are used for new sessions")
  func newFiles() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try issue("first")
    let server = try TLSServerContext(TLSServerSettings(identity: identity))
    #expect(try servedName(server) == "CN=first")
    #expect(server.reloadIfChanged() == nil)
    try issue("second")
    #expect(server.reloadIfChanged() == .reloaded)
    #expect(try servedName(server) == "CN=second")
  }

  @Test("Broken files are reported once, and the old ones stay in use until the new ones are whole")
  func brokenFiles() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try issue("first")
    let reports = Mutex<[TLSReload]>([])
    let server = try TLSServerContext(TLSServerSettings(identity: identity)) { report in
      reports.withLock { $0.append(report) }
    }
    // The new certificate is there, its key not yet: the pair does not match.
    let issued = try site.authority.issue(.init(commonName: "second", dnsNames: ["localhost"]))
    try write(issued.certificate.pem, "cert.pem")
    guard case .failed(let error) = server.reloadIfChanged() else { return #expect(Bool(false)) }
    #expect(error.code == .configuration)
    #expect(server.reloadIfChanged() == nil)
    #expect(try servedName(server) == "CN=first")
    try write(issued.key.pem().revealed, "key.pem")
    #expect(server.reloadIfChanged() == .reloaded)
    #expect(try servedName(server) == "CN=second")
    #expect(reports.withLock { $0.count } == 2)
  }

  /// The old certificate stayed in use until it expired.
  @Test("Files that could not be read are read as soon as they can be, and that they cannot is reported once")
  func unreadableFiles() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try issue("first")
    let isUnreadable = Mutex(false)
    let settings = TLSServerSettings(identity: identity)
    let source = try TLSContextSource(files: [folder + "/cert.pem", folder + "/key.pem"]) { () throws(TLSError) in
      if isUnreadable.withLock({ $0 }) { throw TLSError(.file, "Permission denied") }
      return try SSLContext.server(settings)
    }
    isUnreadable.withLock { $0 = true }
    try issue("second")
    #expect(source.reloadIfChanged() == .failed(TLSError(.file, "Permission denied")))
    #expect(source.reloadIfChanged() == nil)
    isUnreadable.withLock { $0 = false }
    #expect(source.reloadIfChanged() == .reloaded)
    #expect(source.reloadIfChanged() == nil)
  }

  /// Every peer refused the new one, though the old one had weeks to go.
  @Test("A certificate that is not valid now waits while the one before it is, is reported once, and used in its time")
  func untimelyCertificate() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let (start, day) = (CertificateAuthority.systemTime(), Int64(86_400))
    func issue(_ name: String, from: Int64, to: Int64) throws {
      var request = CertificateAuthority.Request(commonName: name)
      (request.notBefore, request.notAfter) = (from, to)
      let issued = try site.authority.issue(request)
      try write(issued.certificate.pem, "cert.pem")
      try write(issued.key.pem().revealed, "key.pem")
    }
    let date = Mutex(start)
    let settings = TLSServerSettings(identity: identity)
    try issue("first", from: start - day, to: start + 3 * day)
    let source = try TLSContextSource(
      files: [folder + "/cert.pem", folder + "/key.pem"], date: { date.withLock { $0 } }
    ) { () throws(TLSError) in try SSLContext.server(settings) }
    func served() -> String? { source.current().certificate?.subject }

    try issue("ended", from: start - 2 * day, to: start - day)
    #expect(source.reloadIfChanged() == .failed(TLSError(.notValidNow, "the certificate CN=ended has ended")))
    #expect(source.reloadIfChanged() == nil)
    #expect(served() == "CN=first")
    try issue("early", from: start + day, to: start + 4 * day)
    #expect(source.reloadIfChanged() == .failed(TLSError(.notValidNow, "the certificate CN=early is not valid yet")))
    #expect(source.reloadIfChanged() == nil)
    #expect(served() == "CN=first")
    date.withLock { $0 = start + day }
    #expect(source.reloadIfChanged() == .reloaded)
    #expect(served() == "CN=early")
    // Where none is valid the newest is as good as any.
    date.withLock { $0 = start + 10 * day }
    try issue("late", from: start, to: start + 9 * day)
    #expect(source.reloadIfChanged() == .reloaded)
  }

  @Test("Sessions look at the files by themselves, no more often than the interval")
  func interval() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try issue("first")
    let time = Mutex(Duration.zero)
    let loads = Mutex(0)
    let settings = TLSServerSettings(identity: identity)
    let source = try TLSContextSource(
      files: [folder + "/cert.pem", folder + "/key.pem"], now: { time.withLock { $0 } }
    ) { () throws(TLSError) in
      loads.withLock { $0 += 1 }
      return try SSLContext.server(settings)
    }
    try issue("second")
    _ = source.current()
    #expect(loads.withLock { $0 } == 1)
    time.withLock { $0 = TLSContextSource.checkInterval - .nanoseconds(1) }
    _ = source.current()
    #expect(loads.withLock { $0 } == 1)
    time.withLock { $0 = TLSContextSource.checkInterval }
    _ = source.current()
    #expect(loads.withLock { $0 } == 2)
    #expect(TLSContextSource.checkInterval < .seconds(10))
  }

  @Test("A missing or empty file is refused at the start", arguments: ["missing.pem", "empty.pem"])
  func missing(name: String) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try write([], "empty.pem")
    let path = folder + "/" + name
    #expect(throws: TLSError.self) {
      try TLSServerContext(TLSServerSettings(identity: TLSIdentity(certificateFile: path, keyFile: path)))
    }
  }

  @Test("An encrypted key is refused instead of asking the terminal for its passphrase")
  func encryptedKey() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let pem = """
      -----BEGIN ENCRYPTED PRIVATE KEY-----
      MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEAAA
      AAAAAAAAAAAAAAAAAAAEQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
      -----END ENCRYPTED PRIVATE KEY-----
      """
    #expect(throws: TLSError.self) { try PrivateKey(pem: Array(pem.utf8)) }
  }
}
