package import EventLoop
package import TLSSession
package import URLSyntax

/// One reading of the environment into typed values, which collects what is wrong instead of stopping at the first
/// mistake.
///
/// Read every setting that the process uses, then call ``finish()``: it throws all problems. A value read before that
/// is a placeholder when its setting was wrong, so use none before. Empty counts as not set. A secret may stand in a
/// file instead, named by `NAME_FILE`.
package final class Settings {
  /// One line of `--check-config`.
  package struct Entry: Sendable, Equatable {
    package let name: String
    /// `<redacted>` for a secret.
    package let value: String
    /// `default`, `environment`, or the file's path.
    package let source: String
  }

  private let environment: [String: String]
  private let readFile: (String) throws -> String
  private var problems: [SettingsError.Problem]
  package private(set) var entries: [Entry] = []

  /// - Parameter readFile: for `NAME_FILE`; tests give their own.
  package init(_ environment: [String: String], readFile: @escaping (String) throws -> String = readSettingFile) {
    self.environment = environment.filter { !$0.value.isEmpty }
    self.readFile = readFile
    problems = KnownSettings.unknownNames(in: environment)
  }

  package func finish() throws(SettingsError) {
    guard problems.isEmpty else { throw SettingsError(problems: problems) }
  }

  /// Notes a problem that the caller found, such as one setting that needs another.
  package func fail(_ name: String, _ message: String) { problems.append(.init(name, message)) }

  // MARK: Text

  package func optionalString(_ name: String) -> String? { value(name) { text throws(SettingProblem) in text } }

  package func string(_ name: String, default fallback: String) -> String {
    value(name, default: fallback) { text throws(SettingProblem) in text } ?? fallback
  }

  package func string(_ name: String) -> String {
    optionalString(name) ?? missing(name, "")
  }

  /// One word of several.
  package func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, default fallback: Choice) -> Choice
  where Choice.RawValue == String {
    value(name, default: fallback.rawValue) { text throws(SettingProblem) in
      guard let choice = Choice(rawValue: text) else {
        throw SettingProblem("must be one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return choice
    } ?? fallback
  }

  // MARK: Secrets

  package func optionalSecret(_ name: String) -> SecretBytes? { secretText(name).map { SecretBytes($0) } }

  /// A secret through a parser; what the parser throws must not hold the secret.
  package func optionalSecret<T>(_ name: String, _ parse: (String) throws -> T) -> T? {
    secretText(name).flatMap { text in
      do {
        return try parse(text)
      } catch {
        fail(name, "is malformed: \(error)")
        return nil
      }
    }
  }

  /// The same of a secret that must be there. Nil only with a problem noted.
  package func secret<T>(_ name: String, _ parse: (String) throws -> T) -> T? {
    optionalSecret(name, parse) ?? missing(name, nil)
  }

  /// A ring of keys, `id:base64,…`, newest first.
  package func keyring(_ name: String) -> Keyring {
    optionalKeyring(name) ?? missing(name, Keyring(generating: "none"))
  }

  package func optionalKeyring(_ name: String) -> Keyring? { optionalSecret(name) { try Keyring(parsing: $0) } }

  /// A ring of peppers, or a single one: see ``Keyring/init(peppers:)``.
  package func peppers(_ name: String) -> Keyring {
    secret(name) { try Keyring(peppers: $0) } ?? Keyring(generating: "none")
  }

  // MARK: Quantities

  /// `250ms`, `30s`, `5m`, `1h`, `30d`.
  package func duration(_ name: String, default fallback: String) -> Duration {
    value(name, default: fallback, parseDuration) ?? .zero
  }

  /// Events in a time, as `100/s`, `6000/m` or `50/h`.
  package func rate(_ name: String, default fallback: String) -> Rate {
    value(name, default: fallback, parseRate) ?? Rate(count: 1, per: .seconds(1))
  }

  package func integer(_ name: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
    value(name, default: String(fallback)) { text throws(SettingProblem) in
      guard let number = Int(text), range.contains(number) else {
        throw SettingProblem("must be a whole number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    } ?? fallback
  }

  // MARK: Addresses

  /// `host:port` or `unix:PATH`.
  package func listenAddress(_ name: String, default fallback: String) -> ListenAddress {
    value(name, default: fallback, parseListenAddress) ?? .unix(path: "")
  }

  /// `https://…`, or `http://…` of a loopback address: nothing else is safe for tokens. Without a path.
  package func httpOrigin(_ name: String, default fallback: String) -> String {
    value(name, default: fallback, parseHTTPOrigin) ?? fallback
  }

  /// The same, with a path and a query or without.
  package func optionalHTTPURL(_ name: String) -> HTTPURL? { value(name, parseHTTPURL) }

  /// - Parameter fallback: such a URL.
  package func httpURL(_ name: String, default fallback: String) -> HTTPURL {
    value(name, default: fallback, parseHTTPURL) ?? HTTPURL(fallback)!
  }

  /// `on` or `off`.
  package func toggle(_ name: String, default fallback: Bool) -> Bool {
    value(name, default: fallback ? "on" : "off") { text throws(SettingProblem) in
      switch text {
      case "on": return true
      case "off": return false
      default: throw SettingProblem("must be on or off")
      }
    } ?? fallback
  }

  /// A setting through a parser of the caller's own.
  package func value<T>(
    _ name: String, default fallback: String? = nil, _ parse: (String) throws(SettingProblem) -> T
  ) -> T? {
    let given = environment[name]
    guard let text = given ?? fallback else {
      entries.append(Entry(name: name, value: "", source: "not set"))
      return nil
    }
    entries.append(Entry(name: name, value: text, source: given == nil ? "default" : "environment"))
    do throws(SettingProblem) {
      return try parse(text)
    } catch {
      fail(name, error.message)
      return nil
    }
  }

  // MARK: Pieces

  private func secretText(_ name: String) -> String? {
    let file = environment[name + "_FILE"]
    let given = environment[name]
    if let file, given != nil {
      entries.append(Entry(name: name, value: "<redacted>", source: "environment and \(file)"))
      fail(name, "and \(name)_FILE are both set; keep one")
      return nil
    }
    if let file {
      entries.append(Entry(name: name, value: "<redacted>", source: file))
      do {
        let text = trimmed(try readFile(file))
        if text.isEmpty { fail(name + "_FILE", "names an empty file: \(file)") }
        return text.isEmpty ? nil : text
      } catch {
        fail(name + "_FILE", "names a file that cannot be read: \(file) (\(error))")
        return nil
      }
    }
    let shown = given == nil ? "" : "<redacted>"
    entries.append(Entry(name: name, value: shown, source: given == nil ? "not set" : "environment"))
    return given
  }

  private func missing<T>(_ name: String, _ placeholder: T) -> T {
    if !problems.contains(where: { $0.name == name || $0.name == name + "_FILE" }) {
      fail(name, KnownSettings.secrets.contains(name) ? "is not set (nor \(name)_FILE)" : "is not set")
    }
    return placeholder
  }
}

/// What a parser of one setting says; completes the sentence that begins with the setting's name.
package struct SettingProblem: Error, Sendable, CustomStringConvertible {
  package let message: String
  package init(_ message: String) { self.message = message }
  package var description: String { message }
}

private func trimmed(_ text: String) -> String {
  var text = text[...]
  while let last = text.last, last.isWhitespace { text.removeLast() }
  while let first = text.first, first.isWhitespace { text.removeFirst() }
  return String(text)
}
