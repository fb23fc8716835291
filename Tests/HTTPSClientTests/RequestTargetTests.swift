import HTTPTypes
import Testing

@testable import HTTPSClient

struct RequestTargetTests {
  private func target(_ scheme: String?, _ authority: String?, _ path: String?, plaintext: Set<String> = [])
    -> RequestTarget?
  {
    try? RequestTarget(
      HTTPRequest(method: .get, scheme: scheme, authority: authority, path: path), plaintextHosts: plaintext)
  }

  @Test("https goes anywhere; http only to loopback and hosts that the configuration names")
  func schemes() {
    #expect(target("https", "gmail.googleapis.com", "/x")?.url == "https://gmail.googleapis.com/x")
    #expect(target("HTTPS", "EXAMPLE.com:8443", "/")?.host == "example.com")
    for host in ["localhost", "127.0.0.1", "127.9.8.7:80", "[::1]:8080"] {
      #expect(target("http", host, "/") != nil, "\(host)")
    }
    for host in ["example.com", "127.0.0.1.example.com", "localhost.example", "128.0.0.1", "[::2]", "127.0.0.+1"] {
      #expect(target("http", host, "/") == nil, "\(host)")
    }
    #expect(target("http", "169.254.169.254", "/", plaintext: ["169.254.169.254"]) != nil)
    for scheme in ["ftp", "file", ""] { #expect(target(scheme, "example.com", "/") == nil) }
    #expect(target(nil, "example.com", "/") == nil)
  }

  @Test("What is no authority is refused", arguments: ["", "user@example.com", "a b", "a:0"])
  func authorities(_ authority: String) {
    #expect(target("https", authority, "/") == nil)
  }

  @Test(
    "A path that is not absolute and percent-encoded is refused", arguments: ["", "x", "/a b", "/a\r\nb", "/a#b", "/ä"])
  func paths(_ path: String) {
    #expect(target("https", "example.com", path) == nil)
  }

  @Test("A URL at the limit is taken, one byte more is not")
  func length() {
    let rest = RequestTarget.maxURLBytes - "https://a".utf8.count
    #expect(target("https", "a", "/" + String(repeating: "x", count: rest - 1)) != nil)
    #expect(target("https", "a", "/" + String(repeating: "x", count: rest)) == nil)
  }
}
