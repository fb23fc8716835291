internal import EventLoop
internal import Glibc
internal import URLSyntax

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

func parseHTTPURL(_ text: String) throws(SettingProblem) -> HTTPURL {
  guard let url = HTTPURL(text), url.isTrustworthy else {
    throw SettingProblem(
      "must be an https URL, or an http one of a loopback address, without a user name and a fragment")
  }
  return url
}

func parseHTTPOrigin(_ text: String) throws(SettingProblem) -> String {
  let url = try parseHTTPURL(text)
  guard url.target == "/" else { throw SettingProblem("must be scheme, host and port, without a path") }
  return url.description
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
