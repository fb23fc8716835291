internal import EventLoop
internal import Glibc

/// So many events in a time.
package struct Rate: Sendable, Hashable {
  package let count: Int
  package let period: Duration

  package init(count: Int, per period: Duration) {
    self.count = count
    self.period = period
  }

  package var perSecond: Double { Double(count) / period.inSeconds }
}

func parseDuration(_ text: String) throws(SettingProblem) -> Duration {
  let problem = SettingProblem("must be a duration such as 30s (ms, s, m, h, d)")
  let digits = text.prefix { $0.isASCII && $0.isNumber }
  guard let count = Int64(digits), count <= 1_000_000_000 else { throw problem }
  switch text[digits.endIndex...] {
  case "ms": return .milliseconds(count)
  case "s": return .seconds(count)
  case "m": return .seconds(count * 60)
  case "h": return .seconds(count * 3_600)
  case "d": return .seconds(count * 86_400)
  default: throw problem
  }
}

func parseRate(_ text: String) throws(SettingProblem) -> Rate {
  let problem = SettingProblem("must be a rate such as 100/s (s, m, h)")
  let parts = text.split(separator: "/", omittingEmptySubsequences: false)
  guard parts.count == 2, let count = Int(parts[0]), 1...1_000_000_000 ~= count else { throw problem }
  switch parts[1] {
  case "s": return Rate(count: count, per: .seconds(1))
  case "m": return Rate(count: count, per: .seconds(60))
  case "h": return Rate(count: count, per: .seconds(3_600))
  default: throw problem
  }
}

func parseListenAddress(_ text: String) throws(SettingProblem) -> ListenAddress {
  do {
    return try ListenAddress(text)
  } catch {
    throw SettingProblem("is no address to listen on: \(error.message)")
  }
}

func parseHTTPURL(_ text: String) throws(SettingProblem) -> String {
  guard text.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else { throw SettingProblem("must be a URL of ASCII characters") }
  if text.hasPrefix("https://"), text.utf8.count > 8 { return text }
  guard text.hasPrefix("http://") else { throw SettingProblem("must begin with https:// (or http:// for loopback)") }
  let authority = text.dropFirst(7).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
  guard !authority.contains("@") else { throw SettingProblem("must not hold a user name") }
  let host: Substring
  if authority.hasPrefix("[") {
    host = authority.dropFirst().prefix { $0 != "]" }
  } else {
    host = authority.prefix { $0 != ":" }
  }
  guard host == "localhost" || host == "::1" || isIPv4Loopback(host) else {
    throw SettingProblem("may use plain http for a loopback address only")
  }
  return text
}

func parseHTTPOrigin(_ text: String) throws(SettingProblem) -> String {
  let url = try parseHTTPURL(text)
  let rest = url.drop { $0 != "/" }.dropFirst(2).drop { $0 != "/" && $0 != "?" && $0 != "#" }
  guard rest.isEmpty || rest == "/" else { throw SettingProblem("must be scheme, host and port, without a path") }
  return url
}

private func isIPv4Loopback(_ host: Substring) -> Bool {
  var address = in_addr()
  return inet_pton(AF_INET, String(host), &address) == 1 && UInt32(bigEndian: address.s_addr) >> 24 == 127
}

/// Reads a small file such as a mounted secret.
///
/// - Throws: `SettingProblem` when it has more than 64 KiB or is not UTF-8, `SystemError` when it cannot be read.
package func readSettingFile(_ path: String) throws -> String {
  let limit = 64 << 10
  let fd = try systemCall("open", { open(path, O_RDONLY | O_CLOEXEC) })
  defer { close(fd) }
  var bytes = [UInt8](repeating: 0, count: limit + 1)
  var count = 0
  while count < bytes.count {
    let got = try bytes.withUnsafeMutableBytes { buffer in
      try systemCall("read", { read(fd, buffer.baseAddress! + count, buffer.count - count) })
    }
    if got == 0 { break }
    count += got
  }
  guard count <= limit else { throw SettingProblem("it has more than 64 KiB") }
  guard let text = String(validating: bytes[..<count], as: UTF8.self) else { throw SettingProblem("it is not UTF-8") }
  return text
}
