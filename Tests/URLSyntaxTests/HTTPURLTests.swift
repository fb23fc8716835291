import Testing
import URLSyntax

@Suite("URLs")
struct HTTPURLTests {
  @Test(
    "A host with an optional port, and nothing else",
    arguments: [
      ("a", "a", nil), ("EXAMPLE.com:8443", "example.com", 8443), ("[2001:DB8::1]", "2001:db8::1", nil),
      ("[::ffff:1.2.3.4]:65535", "::ffff:1.2.3.4", 65535), ("a_b-c.example.:1", "a_b-c.example.", 1),
    ] as [(String, String, UInt16?)])
  func authorities(text: String, host: String, port: UInt16?) throws {
    let authority = try #require(HTTPAuthority(text))
    #expect(authority.host == host && authority.port == port)
  }

  @Test(
    "What is more or less than that",
    arguments: [
      "", ":80", "user@example.com", "a b", "a:0", "a:65536", "a:+1", "a:", "a/b", "[::1", "[::1]x", "[]", "[g::]",
      "a:80:80", "a?b", "a#b", "exämple.com", "a\0", "a%41", "127.0.0.+1", String(repeating: "a", count: 254),
    ])
  func noAuthorities(_ text: String) {
    #expect(HTTPAuthority(text) == nil)
  }

  @Test(
    "https may go anywhere, http to this very machine",
    arguments: [
      ("https://oauth2.googleapis.com/token", true), ("http://127.0.0.1:8090/token", true),
      ("http://127.255.0.3/", true), ("http://localhost:1/x?y=1", true), ("http://[::1]:8090/x", true),
      ("http://example.com/", false), ("http://127.0.0.1.example.com/", false), ("http://128.0.0.1/", false),
      ("http://127.1/", false), ("http://127.0.0.256/", false),
      ("http://127.evil.example.com/", false), ("http://[::2]/", false), ("http://localhost.example/", false),
    ])
  func trustworthy(text: String, isTrustworthy: Bool) throws {
    #expect(try #require(HTTPURL(text)).isTrustworthy == isTrustworthy)
  }

  @Test("A URL knows what stands in a request line, and stays as it was given")
  func parts() {
    let url = HTTPURL("HTTPS://Host:444/a/b?c=d")
    #expect(url?.description == "HTTPS://Host:444/a/b?c=d" && url?.scheme == .https)
    #expect(url?.authority == "Host:444" && url?.host == "host" && url?.port == 444)
    #expect(url?.target == "/a/b?c=d" && url?.path == "/a/b")
    #expect(HTTPURL("https://host?x")?.target == "/?x" && HTTPURL("https://host")?.path == "/")
    #expect(HTTPURL("http://host/a?b://c")?.target == "/a?b://c")
  }

  @Test(
    "What is no such URL",
    arguments: [
      "", "https://", "https:///x", "ftp://host/", "host/x", "//host", "https:/host", "https://user@host/",
      "https://host:99999/", "https://host/#f", "https://ho st/", "https://host/\u{7}", "https://host/ä", "http://[::1",
    ])
  func noURLs(_ text: String) {
    #expect(HTTPURL(text) == nil)
  }
}
