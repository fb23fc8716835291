import EventLoop
import Logging
import ServiceKit
import TLSSession
import Testing

@Suite("Settings")
struct SettingsTests {
  private let files = ["/run/key": " c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=\n", "/run/empty": "\n"]

  private func settings(_ environment: [String: String]) -> Settings {
    Settings(environment) { [files] path in
      guard let text = files[path] else { throw SystemError("open", 2) }
      return text
    }
  }

  @Test("Reads typed values and their defaults")
  func values() throws {
    let settings = settings([
      "EMAILMCP_DRAIN_TIMEOUT": "250ms", "EMAILMCP_RATE_PER_KEY": "50/m", "EMAILMCP_LISTEN": ":0",
    ])
    #expect(settings.duration("EMAILMCP_DRAIN_TIMEOUT", default: "10s") == .milliseconds(250))
    #expect(settings.rate("EMAILMCP_RATE_PER_KEY", default: "100/s") == Rate(count: 50, per: .seconds(60)))
    #expect(settings.rate("EMAILMCP_RATE_PER_USER", default: "10/s").perSecond == 10)
    #expect(settings.listenAddress("EMAILMCP_LISTEN", default: ":1") == .hostPort(host: "", port: 0))
    #expect(settings.choice("EMAILMCP_LOG_LEVEL", default: Logger.Level.info) == .info)
    try settings.finish()
  }

  @Test(
    "Refuses values that are not what the setting needs",
    arguments: ["10", "s", "-1s", "1 s", "10x", "1.5s", ""])
  func badDurations(text: String) {
    let settings = settings(["EMAILMCP_DRAIN_TIMEOUT": text])
    _ = settings.duration("EMAILMCP_DRAIN_TIMEOUT", default: "10s")
    if text.isEmpty {
      #expect(throws: Never.self) { try settings.finish() }
    } else {
      #expect(throws: SettingsError.self) { try settings.finish() }
    }
  }

  @Test(
    "Times, sizes and rates have their units, to the letter",
    arguments: [
      ("7ms", 7), ("7s", 7000), ("7m", 420_000), ("7h", 25_200_000), ("7d", 604_800_000),
      ("1000000000ms", 1_000_000_000),
      ("1000000001ms", nil), ("7S", nil), ("7 s", nil), ("ms", nil), ("٧s", nil),
    ] as [(String, Int?)])
  func durations(text: String, milliseconds: Int?) {
    let settings = settings(["EMAILMCP_DRAIN_TIMEOUT": text])
    let duration = settings.duration("EMAILMCP_DRAIN_TIMEOUT", default: "10s")
    if let milliseconds { #expect(duration == .milliseconds(milliseconds)) }
    #expect(((try? settings.finish()) != nil) == (milliseconds != nil))
  }

  @Test(
    "Rates likewise",
    arguments: [
      ("3/s", 3), ("180/m", 3), ("10800/h", 3), ("0/s", nil), ("1000000000/s", 1e9), ("1000000001/s", nil),
      ("3/d", nil), ("3", nil), ("3/s/s", nil),
    ] as [(String, Double?)])
  func rates(text: String, perSecond: Double?) {
    let settings = settings(["EMAILMCP_RATE_PER_KEY": text])
    let rate = settings.rate("EMAILMCP_RATE_PER_KEY", default: "1/s").perSecond
    #expect(((try? settings.finish()) != nil) == (perSecond != nil) && (perSecond == nil || rate == perSecond))
  }

  @Test(
    "An origin is scheme, host and port, and no more",
    arguments: [
      ("https://a.example", true), ("https://a.example:1/", true), ("http://127.0.0.1:8", true),
      ("https://a.example/x", false), ("https://a.example?x", false), ("https://a.example#x", false),
    ])
  func origins(text: String, allowed: Bool) {
    let settings = settings(["EMAILMCP_GMAIL_API_URL": text])
    _ = settings.httpOrigin("EMAILMCP_GMAIL_API_URL", default: "https://gmail.googleapis.com")
    #expect(((try? settings.finish()) != nil) == allowed)
  }

  @Test("A name that is like no other gets no suggestion")
  func noSuggestion() {
    let error = #expect(throws: SettingsError.self) { try settings(["EMAILMCP_QQQQQQ": "x"]).finish() }
    #expect(error?.description == "EMAILMCP_QQQQQQ is not a setting")
  }

  @Test("Names every problem at once")
  func allProblems() {
    let settings = settings(["EMAILMCP_DRAIN_TIMEOUT": "soon", "EMAILMCP_LISTEN": "nowhere"])
    _ = settings.duration("EMAILMCP_DRAIN_TIMEOUT", default: "10s")
    _ = settings.listenAddress("EMAILMCP_LISTEN", default: ":1")
    _ = settings.keyring("EMAILMCP_CONTEXT_KEYS")
    let error = #expect(throws: SettingsError.self) { try settings.finish() }
    #expect(
      error?.problems.map(\.name) == ["EMAILMCP_DRAIN_TIMEOUT", "EMAILMCP_LISTEN", "EMAILMCP_CONTEXT_KEYS"])
  }

  @Test("An unknown name stops the start with a suggestion, a known one that is not used does not")
  func unknownNames() {
    let settings = settings([
      "EMAILMCP_LISTN": "x", "EMAILMCP_VAULT": "aws", "EMAILMCP_KEY_PEPPER_FILE": "/x", "PATH": "/",
    ])
    let error = #expect(throws: SettingsError.self) { try settings.finish() }
    #expect(error?.description == "EMAILMCP_LISTN is not a setting; did you mean EMAILMCP_LISTEN?")
  }

  @Test("A file of more than 64 KiB is refused, and not cut")
  func largeFile() {
    #expect(throws: SettingProblem.self) { try readSettingFile("/dev/zero") }
  }

  @Test("A secret comes from a file as well, but not from both places")
  func secretFiles() throws {
    let file = settings(["EMAILMCP_KEY_PEPPER_FILE": "/run/key"])
    #expect(file.peppers("EMAILMCP_KEY_PEPPER").newest.secret.revealedText == "secret-secret-secret-secret-1234")
    try file.finish()

    for environment in [
      ["EMAILMCP_KEY_PEPPER": "eA==", "EMAILMCP_KEY_PEPPER_FILE": "/run/key"], ["EMAILMCP_KEY_PEPPER_FILE": "/none"],
      ["EMAILMCP_KEY_PEPPER_FILE": "/run/empty"], ["EMAILMCP_KEY_PEPPER": "eA=="], [:],
    ] {
      let settings = settings(environment)
      _ = settings.peppers("EMAILMCP_KEY_PEPPER")
      let error = #expect(throws: SettingsError.self) { try settings.finish() }
      #expect(error?.problems.count == 1)
    }
  }

  @Test("A secret is shown nowhere")
  func redaction() {
    let settings = settings(["EMAILMCP_CONTEXT_KEYS": "k1:dG9vLXNob3J0", "EMAILMCP_KEY_PEPPER": "dG9vLXNob3J0"])
    _ = settings.keyring("EMAILMCP_CONTEXT_KEYS")
    _ = settings.peppers("EMAILMCP_KEY_PEPPER")
    let error = #expect(throws: SettingsError.self) { try settings.finish() }
    #expect(error?.description.contains("dG9v") == false)
    #expect(settings.entries.map(\.value) == ["<redacted>", "<redacted>"])
  }

  @Test(
    "Plain http is for loopback addresses only",
    arguments: [
      ("https://oauth2.googleapis.com/token", true), ("http://127.0.0.1:8090/token", true),
      ("http://localhost/x", true),
      ("http://[::1]:80", true), ("http://example.com", false), ("http://127.0.0.1.example.com", false),
      ("http://localhost@example.com", false), ("ftp://localhost", false), ("https://", false),
    ])
  func urls(text: String, allowed: Bool) {
    let settings = settings(["EMAILMCP_GOOGLE_TOKEN_URL": text])
    _ = settings.optionalHTTPURL("EMAILMCP_GOOGLE_TOKEN_URL")
    #expect(((try? settings.finish()) != nil) == allowed)
  }

  @Test(
    "A keyring refuses what is no key",
    arguments: ["", "k1", "k1:", "k 1:\(key)", ":\(key)", "k1:\(key),k1:\(key)", "k1:\(key),", "k1:AAAA"])
  func badKeyrings(text: String) {
    #expect(throws: KeyringError.self) { try Keyring(parsing: text) }
  }

  @Test("A keyring keeps its order, newest first")
  func keyrings() throws {
    let ring = try Keyring(parsing: "new:\(key), old:\(key)\n")
    #expect(ring.newest.id == "new")
    #expect(ring["old"] != nil && ring["older"] == nil)
    #expect(try Keyring(parsing: ring.revealedText).keys.map(\.id) == ["new", "old"])
  }
}

private let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
