import Foundation
import Testing

@testable import TLSSession

@Suite("Encodings")
struct EncodingTests {
  @Test(
    "Base64 (RFC 4648, section 10)",
    arguments: [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
      ("foobar", "Zm9vYmFy"),
    ])
  func vectors(plain: String, encoded: String) {
    #expect(Base64.encode(Array(plain.utf8)) == encoded)
    #expect(Base64.decode(encoded) == Array(plain.utf8))
    let unpadded = encoded.filter { $0 != "=" }
    #expect(Base64.encode(Array(plain.utf8), .urlSafe) == unpadded)
    #expect(Base64.decode(unpadded, .urlSafe) == Array(plain.utf8))
  }

  @Test("Every length and every byte survive, as Foundation writes them")
  func roundTrip() {
    for count in 0...260 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ count) }
      #expect(Base64.encode(bytes) == Data(bytes).base64EncodedString())
      #expect(Base64.decode(Base64.encode(bytes)) == bytes)
      #expect(Base64.decode(Base64.encode(bytes, .urlSafe), .urlSafe) == bytes)
      #expect(Hex.decode(Hex.encode(bytes)) == bytes)
    }
  }

  @Test("Of all bytes only the alphabet's are taken, in each place", arguments: [Base64.Alphabet.standard, .urlSafe])
  func everyByte(alphabet: Base64.Alphabet) {
    let digits =
      Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
      + Array((alphabet == .standard ? "+/" : "-_").utf8)
    for place in 0..<4 {
      for byte in UInt8.min...UInt8.max {
        var text = Array("AAAAAAAA".utf8)
        text[place] = byte
        let decoded = text.withUnsafeBufferPointer { Base64.decode($0, alphabet) }
        let value = digits.firstIndex(of: byte).map { $0 << (18 - 6 * place) }
        #expect(decoded == value.map { [UInt8($0 >> 16), UInt8($0 >> 8 & 255), UInt8($0 & 255), 0, 0, 0] })
      }
    }
  }

  @Test("Percent-encoding escapes every byte outside the unreserved ones, and is read strictly")
  func percent() {
    let text = "aZ09-._~ +/ü\n"
    #expect(PercentText.encode(text) == "aZ09-._~%20%2B%2F%C3%BC%0A")
    #expect(PercentText.decode(PercentText.encode(text).utf8) == text)
    #expect(PercentText.decode("a+%2b%2B".utf8) == "a+++")
    #expect(PercentText.decode("a+%2b%2B".utf8, plusIsBlank: true) == "a ++")
    for malformed in ["%", "%2", "%2g", "%%20", "%C3", "%+1"] { #expect(PercentText.decode(malformed.utf8) == nil) }
  }

  @Test(
    "Second spellings of a value are refused",
    arguments: [
      "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9vZ", "Zm9v\n", " Zm9v", "Zm-v", "Zm_v", "=", "====", "Z===", "Zm=v",
    ])
  func strict(text: String) {
    #expect(Base64.decode(text) == nil)
  }

  @Test("The URL alphabet takes no padding and no + or /", arguments: ["Zg==", "+A", "/A", "Zh", "A", "Zm9vé"])
  func strictURL(text: String) {
    #expect(Base64.decode(text, .urlSafe) == nil)
  }

  @Test("Hexadecimal of odd length or with other characters is refused", arguments: ["0", "0g", "é0"])
  func hex(text: String) {
    #expect(Hex.decode(text) == nil)
  }
}
