import TLSSession
import Testing

@testable import ServiceKit

@Suite struct APIKeyTests {
  let peppers = Keyring(generating: "p1")

  @Test("a key is read back, matches its authenticator, and no other key does")
  func roundTrip() throws {
    let key = APIKey(generating: .live)
    let read = try #require(APIKey(key.revealed))
    let authenticator = key.authenticator(peppers: peppers)
    #expect(read.id == key.id)
    #expect(read.pepper(of: authenticator, among: peppers)?.id == "p1")
    #expect(APIKey(generating: .live).pepper(of: authenticator, among: peppers) == nil)
    #expect(read.pepper(of: authenticator, among: Keyring(generating: "p1")) == nil)
  }

  @Test("a key is made under the newest pepper and lives under any of them, one of which may have no id")
  func rotation() throws {
    let alone = Base64.encode([UInt8](repeating: 7, count: 32))
    let (old, key) = (try Keyring(peppers: alone), APIKey(generating: .live))
    let before = key.authenticator(peppers: old)
    for text in ["\(peppers.revealedText),\(alone)", "\(peppers.revealedText), unnamed:\(alone)"] {
      let both = try Keyring(peppers: text)
      #expect(key.pepper(of: before, among: both)?.id == Keyring.unnamedPepper)
      #expect(key.pepper(of: key.authenticator(peppers: both), among: both)?.id == "p1")
    }
    #expect(key.pepper(of: before, among: peppers) == nil)
    for text in ["", "eA==", "\(alone),\(alone)", "p1:\(alone),", "p1:\(alone),p1:\(alone)"] {
      #expect(throws: KeyringError.self, "\(text)") { try Keyring(peppers: text) }
    }
  }

  @Test("what is printed holds no secret")
  func redaction() {
    let key = APIKey(generating: .test)
    #expect("\(key)" == "emcp_test_\(key.id)_<redacted>")
  }

  @Test("anything of another form is no key")
  func otherForms() {
    let key = APIKey(generating: .live).revealed
    let bad = [
      "", "emcp", "emcp_live__", key + "a", String(key.dropLast()), "x" + key, key.replacing("live", with: "prod"),
      key + "_", key.replacing("emcp_", with: "emcp_live_"), String(key.dropLast()) + "é", String(key.dropLast()) + "-",
      key.replacing("emcp_live_", with: "emcp_live_-", maxReplacements: 1).replacing(/_-./, with: "_-"),
    ]
    for text in bad { #expect(APIKey(text) == nil, "\(text)") }
  }
}
