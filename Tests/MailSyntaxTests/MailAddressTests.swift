import Testing

import MailSyntax

@Suite("Mail addresses")
struct MailAddressTests {
  @Test(
    "An address is read with its name and brought to wire form",
    arguments: [
      ("ann@example.com", "ann@example.com", nil),
      ("  ann@Example.COM ", "ann@example.com", nil),
      ("Ann Lee <ann@example.com>", "ann@example.com", "Ann Lee"),
      ("\"Lee, Ann\" <ann@example.com>", "ann@example.com", "Lee, Ann"),
      ("\"a \\\"b\\\" <c>\" <ann@example.com>", "ann@example.com", "a \"b\" <c>"),
      ("<ann@example.com>", "ann@example.com", nil),
      ("ann+tag.x@mail.example.com", "ann+tag.x@mail.example.com", nil),
      ("\"ann\"@example.com", "ann@example.com", nil),
      ("\"ann lee\"@example.com", "\"ann lee\"@example.com", nil),
      ("Jörg <j@bücher.example>", "j@xn--bcher-kva.example", "Jörg"),
      ("j@Bu\u{308}cher.example", "j@xn--bcher-kva.example", nil),
      ("x@例え。テスト", "x@xn--r8jz45g.xn--zckzah", nil),
      ("x@faß.example", "x@xn--fa-hia.example", nil),
      ("x@الأردن.example", "x@xn--igbhzh7gpa.example", nil),
      ("x@a\u{FF0E}b\u{FF61}example", "x@a.b.example", nil),
      ("\"a\\\"b\\\\\"@example.com", "\"a\\\"b\\\\\"@example.com", nil),
      ("\"a..b\"@example.com", "\"a..b\"@example.com", nil),
    ] as [(String, String, String?)])
  func reads(text: String, specification: String, name: String?) throws {
    let address = try MailAddress(text)
    #expect(address.specification == specification)
    #expect(address.displayName == name)
  }

  @Test(
    "What Gmail could not take is refused with its own reason",
    arguments: [
      ("", .empty), ("   ", .empty), ("ann", .noAtSign), ("Ann Lee", .noAtSign), ("@example.com", .malformed),
      ("ann@", .invalidDomain), ("ann@localhost", .unqualifiedDomain), ("ann@[127.0.0.1]", .addressLiteral),
      ("ann@10.0.0.1", .addressLiteral), ("ann@example..com", .invalidDomain), ("ann@-x.com", .invalidDomain),
      ("ann@x_y.com", .invalidDomain), ("a..b@example.com", .malformed), (".a@example.com", .malformed),
      ("a.@example.com", .malformed), ("a@b@example.com", .invalidDomain), ("a b@example.com", .malformed),
      ("a@example.com, b@example.com", .severalAddresses), ("a@example.com;b@example.com", .severalAddresses),
      ("ann <a@example.com", .malformed), ("ann <a@example.com> x", .malformed), ("\"a@example.com", .malformed),
      ("jörg@example.com", .nonASCIILocalPart), ("=?utf-8?q?x?=@b.example", .encodedLocalPart),
      ("\"a =?utf-8?q?x?=\"@b.example", .encodedLocalPart),
      ("ann@example.com\r\nBcc: x@example.com", .controlCharacter),
      ("ann\u{2028}@example.com", .controlCharacter), ("ann@exa\u{0}mple.com", .controlCharacter),
      ("ann(comment)@example.com", .malformed), ("x@😀.example", .domainCharacter),
      ("\"\"@example.com", .malformed), ("\"é\"@example.com", .nonASCIILocalPart), ("\"a\\", .malformed),
      ("a > b <a@example.com>", .malformed), ("a\\b <a@example.com>", .malformed),
      ("Lee, Ann <a@example.com>", .severalAddresses), ("Ann; <a@example.com>", .severalAddresses),
      ("ann@x-.com", .invalidDomain), ("ann\u{7F}@example.com", .controlCharacter),
      ("ann@example.com\u{9F}", .controlCharacter), ("ann@example.com\u{2029}", .controlCharacter),
    ] as [(String, AddressError)])
  func refuses(text: String, reason: AddressError) {
    #expect(throws: reason) { try MailAddress(text) }
  }

  @Test(
    "A domain that UTS 46 maps to another, or with a joiner out of its place, is refused and not sent to nowhere",
    arguments: [
      "ｅxample.com", "e\u{FF58}ample.com", "ﬁ.example", "①.example", "ª.example", "x\u{AD}ü.example",
      "ü\u{200D}x.example", "ü\u{200C}x.example", "\u{94D}\u{200D}.example", "ا\u{200C}ب.example",
      "ü·l.example", "x·y.example", "a・b.example", "\u{301}ü.example", "ℓ.example", "２.example",
    ])
  func unmappedDomains(_ domain: String) {
    #expect(throws: AddressError.domainCharacter) { try MailAddress("a@\(domain)") }
  }

  @Test(
    "Names that are what they are mapped to, joiners and dots in their place",
    arguments: [
      ("bücher.example", "xn--bcher-kva.example"), ("βόλος.com", "xn--nxasmm1c.com"),
      ("ශ්\u{200D}රී.com", "xn--10cl1a0b660p.com"), ("نامه\u{200C}ای.com", "xn--mgba3gch31f060k.com"),
      ("col·lapse.example", "xn--collapse-ioa.example"), ("コンピュータ・センター.example", nil), ("ไทย.example", nil),
    ] as [(String, String?)])
  func mappedDomains(_ domain: String, _ ascii: String?) throws {
    let read = try MailAddress("a@\(domain)").domain
    if let ascii { #expect(read == ascii) }
  }

  @Test("A name given beside the address wins, and an empty one means none")
  func nameBeside() throws {
    #expect(try MailAddress("Ann <a@example.com>", name: "Lee").displayName == "Lee")
    #expect(try MailAddress("Ann <a@example.com>", name: " ").displayName == "Ann")
    #expect(throws: AddressError.controlCharacter) { try MailAddress("a@example.com", name: "x\ny") }
    #expect(throws: AddressError.nameTooLong) {
      try MailAddress("a@example.com", name: String(repeating: "x", count: 256))
    }
    #expect(try MailAddress("a@example.com", name: String(repeating: "x", count: 255)).displayName != nil)
  }

  @Test("Lengths are taken at the limit and refused one above it")
  func lengths() throws {
    let local = String(repeating: "a", count: 64)
    #expect(try MailAddress("\(local)@example.com").localPart == local)
    #expect(throws: AddressError.localPartTooLong) { try MailAddress("a\(local)@example.com") }
    let label = String(repeating: "b", count: 63)
    #expect(try MailAddress("a@\(label).com").domain == "\(label).com")
    #expect(throws: AddressError.invalidDomain) { try MailAddress("a@b\(label).com") }
    let domain = "\(label).\(label).\(label)"  // 191
    let rest = String(repeating: "c", count: 254 - 2 - 191 - 1)
    #expect(try MailAddress("a@\(rest).\(domain)").specification.utf8.count == 254)
    #expect(throws: AddressError.tooLong) { try MailAddress("aa@\(rest).\(domain)") }
  }

  @Test("A label in another script is as long as its ASCII form may be")
  func longLabels() throws {
    // `xn--`, and a letter of punycode for each that is added.
    let longest = String(repeating: "ü", count: 57)
    #expect(try MailAddress("a@\(longest).example").domain.split(separator: ".")[0].utf8.count <= 63)
    for count in [62, 63, 64, 1000] {
      #expect(throws: AddressError.invalidDomain) {
        try MailAddress("a@\(String(repeating: "ü", count: count)).example")
      }
    }
  }

  @Test("A name is without the blanks around it, and is none where nothing else is left")
  func blanks() throws {
    #expect(try MailAddress("  Ann  Lee  <a@example.com>").displayName == "Ann  Lee")
    #expect(try MailAddress("\" \" <a@example.com>").displayName == nil)
    #expect(try MailAddress("a@example.com").named("  Lee ").displayName == "Lee")
    #expect(try MailAddress("Ann <a@example.com>").named(nil).displayName == nil)
  }

  @Test("Two spellings of one mailbox have one key")
  func key() throws {
    #expect(try MailAddress("Ann@Example.com").key == MailAddress("\"ann\"@example.COM").key)
  }
}
