import EventLoop
import Glibc
import TLSSession
import Testing

@testable import EmailMCPCLI

@Suite struct IdentitiesTests {
  private let folder = "/tmp/emailmcp-identities-\(UInt32.random(in: 0 ... .max))"

  @Test("certificates carry the SPIFFE names, lead to the authority, and a second run changes nothing")
  func certificates() throws {
    defer { remove() }
    let identities = Identities(folder: folder)
    #expect(try identities.ensure().count == 14)
    #expect(try identities.ensure() == [])
    for service in Identities.services {
      let settings = TLSServerSettings(
        identity: TLSIdentity(certificateFile: identities.certificate(service), keyFile: identities.key(service)),
        clientRoots: .file(identities.authorityCertificate))
      _ = try TLSServerContext(settings)
      let certificate = try Certificate.parse(pem: PrivateFile.read(identities.certificate(service)))[0]
      #expect(certificate.alternativeNames.uris == ["spiffe://emailmcp/\(service)"])
    }
    _ = try Keyring(parsing: PrivateFile.readText(identities.file("vault-keys")))
  }

  @Test("nobody else can read keys")
  func permissions() throws {
    defer { remove() }
    let identities = Identities(folder: folder)
    for name in try identities.ensure() {
      var information = stat()
      #expect(stat(identities.file(name), &information) == 0)
      #expect(information.st_mode & 0o077 == 0, "\(name)")
    }
  }

  @Test("what another has put in a secret's way is neither written into nor read by him")
  func hostileFile() throws {
    defer { for name in ["secret", "secret.new", "his"] { unlink("\(folder)/\(name)") }; rmdir(folder) }
    try PrivateFile.makeFolder(folder)
    try PrivateFile.write(Array("his".utf8), to: "\(folder)/his")
    chmod("\(folder)/his", 0o666)
    symlink("\(folder)/his", "\(folder)/secret.new")
    try PrivateFile.write(Array("ours".utf8), to: "\(folder)/secret")
    #expect(try PrivateFile.readText("\(folder)/his") == "his")
    var information = stat()
    #expect(lstat("\(folder)/secret", &information) == 0)
    #expect(information.st_mode == S_IFREG | 0o600)
  }

  @Test(
    "each service has its own key and what it shares, no other's key and never the authority's; a change reaches it")
  func shares() throws {
    defer {
      for share in Identities.shares {
        for name in share.files { unlink("\(folder)/\(share.folder)/\(name)") }
        rmdir("\(folder)/\(share.folder)")
      }
      remove()
    }
    let identities = Identities(folder: folder)
    _ = try identities.ensure()
    let written = try identities.layApart()
    #expect(written.count == 23 && Set(written).count == 23)
    #expect(try identities.layApart() == [])
    for name in written {
      let (share, file) = (name.prefix { $0 != "/" }, name.drop { $0 != "/" }.dropFirst())
      #expect(!file.hasSuffix(".key") || file == "\(share).key", "\(name)")
      var information = stat()
      #expect(stat(identities.file(name), &information) == 0 && information.st_mode & 0o077 == 0)
    }
    for service in Identities.services {
      _ = try TLSServerContext(
        TLSServerSettings(
          identity: TLSIdentity(
            certificateFile: identities.file("\(service)/\(service).pem"),
            keyFile: identities.file("\(service)/\(service).key")),
          clientRoots: .file(identities.file("\(service)/ca.pem"))))
    }
    try PrivateFile.write(Array(Keyring(generating: "k2").revealedText.utf8), to: identities.file("vault-keys"))
    unlink(identities.certificate("report"))
    _ = try identities.ensure()
    #expect(
      try identities.layApart() == [
        "oauth/vault-keys", "mailer/vault-keys", "report/report.key", "report/report.pem", "owner/vault-keys",
      ])
  }

  @Test("a missing key is made again, the others stay")
  func missingKey() throws {
    defer { remove() }
    let identities = Identities(folder: folder)
    _ = try identities.ensure()
    unlink(identities.file("token-keys"))
    #expect(try identities.ensure() == ["token-keys"])
  }

  private func remove() {
    for name in Identities.services.flatMap({ ["\($0).pem", "\($0).key"] }) + Identities.rings
      + ["ca.pem", "ca.key"]
    { unlink("\(folder)/\(name)") }
    rmdir(folder)
  }
}
