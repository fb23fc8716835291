import MailSyntax
import Testing

@Suite("Suppression entries")
struct SuppressionEntryTests {
  @Test(
    "An entry is an address or a domain, as recipients are compared",
    arguments: [
      ("Bob@Example.COM", "bob@example.com"), (" example.com ", "example.com"),
      ("bücher.example", "xn--bcher-kva.example"),
      ("a@Bücher.example", "a@xn--bcher-kva.example"), ("\"a@b\"@x.org", "\"a@b\"@x.org"),
      ("localhost", nil), ("a@", nil), ("@x.org", nil), ("Bob <bob@x.org>", nil), ("", nil), ("1.2.3.4", nil),
      ("a\u{0}@x.org", nil),
    ] as [(String, String?)])
  func entries(_ text: String, _ expected: String?) {
    #expect((try? SuppressionEntry(text))?.text == expected)
  }

  @Test(
    "A pattern is refused where it is put on the list, and said to be one",
    arguments: ["*@x.org", "*.x.org", "*", "@x.org"])
  func patterns(_ text: String) {
    #expect(throws: AddressError.pattern) { try SuppressionEntry(toSuppress: text) }
    #expect((try? SuppressionEntry(toSuppress: " x.org "))?.text == "x.org")
  }

  @Test("A domain is taken at its longest and refused one above it", arguments: [253, 254])
  func longestDomain(length: Int) {
    let domain = String(repeating: "a", count: 2 - length % 2) + String(repeating: ".b", count: (length - 1) / 2)
    #expect(domain.utf8.count == length && ((try? SuppressionEntry(domain)) != nil) == (length == 253))
  }

  @Test("A note is taken at its longest and refused one above it, or with a control character")
  func notes() {
    #expect(SuppressionNote("")?.text == nil && SuppressionNote("") != nil)
    #expect(SuppressionNote(String(repeating: "é", count: 255))?.text?.unicodeScalars.count == 255)
    #expect(SuppressionNote(String(repeating: "é", count: 256)) == nil)
    #expect(SuppressionNote("a\nb") == nil)
  }
}
