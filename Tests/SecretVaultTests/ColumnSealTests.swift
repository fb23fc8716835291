import TLSSession
import Testing

@testable import SecretVault

@Suite struct ColumnSealTests {
  private let keys = Keyring(generating: "k1")
  private let place = ["test", "tenant", "ab"]

  @Test("what is sealed opens at its place and at no other")
  func bound() throws {
    let seal = ColumnSeal(keys)
    let sealed = try seal.seal(SecretBytes("secret"), for: place)
    #expect(try seal.open(sealed, for: place) == SecretBytes("secret"))
    for other in [["test", "tenant", "a", "b"], ["test", "tenanta", "b"], ["test", "tenant"], []] {
      #expect(throws: SealError.malformed) { try seal.open(sealed, for: other) }
    }
  }

  @Test("a cut or changed blob and one under a key that is gone are refused, each by its name")
  func damage() throws {
    let seal = ColumnSeal(keys)
    let sealed = try seal.seal(SecretBytes("secret"), for: place)
    // Cut inside the key's id, the id reads as another key's.
    for count in 0..<sealed.count where count != 3 {
      var cut = Array(sealed.prefix(count))
      #expect(throws: SealError.malformed) { try seal.open(cut, for: place) }
      #expect(throws: SealError.malformed) { try seal.openInPlace(&cut, for: place) }
    }
    for index in sealed.indices {
      var changed = sealed
      changed[index] ^= 0x80
      #expect(throws: SealError.self) { try seal.open(changed, for: place) }
    }
    #expect(throws: SealError.unknownKey) { try ColumnSeal(Keyring(generating: "k2")).open(sealed, for: place) }
    let both = try Keyring(parsing: Keyring(generating: "k2").revealedText + "," + keys.revealedText)
    #expect(try ColumnSeal(both).open(sealed, for: place) == SecretBytes("secret"))
  }
}
