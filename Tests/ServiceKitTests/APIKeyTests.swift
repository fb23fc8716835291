import TLSSession
import Testing

@testable import ServiceKit

@Suite struct APIKeyTests {
  let pepper = SecretBytes([UInt8](repeating: 7, count: 32))

  @Test("a key is read back, matches its authenticator, and no other key does")
  func roundTrip() throws {
    let key = APIKey(generating: .live)
    let read = try #require(APIKey(key.revealed))
    #expect(read.id == key.id)
    #expect(read.matches(key.authenticator(pepper: pepper), pepper: pepper))
    #expect(!APIKey(generating: .live).matches(key.authenticator(pepper: pepper), pepper: pepper))
    #expect(!read.matches(key.authenticator(pepper: pepper), pepper: SecretBytes([UInt8](repeating: 8, count: 32))))
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
