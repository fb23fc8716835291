import ArgumentParser
import EventLoop
import HTTPSClient
import HTTPTypes
import PostgresClient
import ServiceKit
import TLSSession

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Checks settings, database, schema, certificates and processes, and says what to do about each.",
    discussion: """
      Looks at the environment that it is given, and at the admin ports of this machine. Ends with 0 when nothing is wrong.
      """)

  @Option(help: "Admin ports to ask, as NAME=HOST:PORT; may be given more than once.")
  var admin = [
    "edge=127.0.0.1:9100", "oauth=127.0.0.1:9101", "mailer=127.0.0.1:9102", "report=127.0.0.1:9103",
  ]

  func run() async throws {
    var diagnosis = Diagnosis()
    let environment = processEnvironment()
    diagnosis.settings(environment)
    diagnosis.database(environment)
    diagnosis.certificates(environment)
    for entry in admin {
      let parts = entry.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else { throw ValidationError("--admin takes NAME=HOST:PORT, not \"\(entry)\"") }
      await diagnosis.process(String(parts[0]), at: String(parts[1]))
    }
    if diagnosis.problems > 0 { throw ExitCode.failure }
  }
}

/// One finding a line: `ok`, `--` (not looked at) or `!!` with what to do.
private struct Diagnosis {
  private(set) var problems = 0

  mutating func settings(_ environment: [String: String]) {
    do {
      try Settings(environment).finish()
      good("settings", "every EMAILMCP_* name is known")
    } catch {
      for problem in error.problems { bad("settings", "\(problem.name) \(problem.message)") }
    }
  }

  mutating func database(_ environment: [String: String]) {
    guard environment["DATABASE_URL"] != nil || environment["DATABASE_URL_FILE"] != nil else {
      return skipped("database", "DATABASE_URL is not set")
    }
    do {
      let url = try OwnerSettings.databaseURL()
      let version = try Migrator.version(url: url)
      let newest = Migrations.all.count
      switch version {
      case newest: good("database", "reachable, schema \(version)")
      case ..<newest: bad("database", "schema \(version) of \(newest); run: emailmcp migrate")
      default: good("database", "reachable, schema \(version), newer than this program's \(newest)")
      }
      if try BlockingSession(url: url).execute(PostgresLogin.isUnbound.sql) == [["t"]] {
        bad("database", "the login bypasses row-level security, which keeps tenants apart; use one that does not")
      }
    } catch {
      bad("database", "not to be used: \(error)")
    }
  }

  mutating func certificates(_ environment: [String: String]) {
    var leaves: [String: Certificate] = [:]
    for name in ["EMAILMCP_TLS_CA", "EMAILMCP_TLS_CERT", "EMAILMCP_EDGE_TLS_CERT"] {
      guard let path = environment[name] else { continue }
      do {
        let chain = try Certificate.parse(pem: Array(readSettingFile(path).utf8))
        leaves[name] = chain[0]
        let now = CertificateAuthority.systemTime()
        for certificate in chain {
          guard let validity = certificate.validity else { continue }
          let days = (validity.upperBound - now) / 86_400
          if !validity.contains(now) {
            bad("certificate", "\(path): not valid now (\(certificate.subject)); issue a new one")
          } else if days < 14 {
            bad("certificate", "\(path): ends in \(days) days; issue a new one, it is picked up without a restart")
          } else {
            good("certificate", "\(path): valid for \(days) days")
          }
        }
      } catch {
        bad("certificate", "\(name)=\(path): \(error)")
      }
    }
    if environment["EMAILMCP_TLS_CERT"] == nil { skipped("certificate", "EMAILMCP_TLS_CERT is not set") }
    for prefix in ["EMAILMCP_TLS", "EMAILMCP_EDGE_TLS"] {
      if let leaf = leaves["\(prefix)_CERT"] { identity(prefix, leaf, environment) }
    }
  }

  /// Whether certificate and key fit, and the authority, where peers ask for it: the public certificate has none here.
  private mutating func identity(_ prefix: String, _ leaf: Certificate, _ environment: [String: String]) {
    guard let certificate = environment["\(prefix)_CERT"], let key = environment["\(prefix)_KEY"] else { return }
    let identity = TLSIdentity(certificateFile: certificate, keyFile: key)
    let authority = environment["\(prefix)_CA"]
    do {
      _ = try TLSServerContext(TLSServerSettings(identity: identity))
      guard let authority else { return good("certificate", "\(prefix)_KEY fits") }
      guard let name = leaf.alternativeNames.uris.first else {
        return bad("certificate", "\(certificate): is of no service; see emailmcp init")
      }
      try TLSRehearsal.run(identity, roots: .file(authority), uri: name)
      good("certificate", "\(prefix)_KEY fits, peers with this \(prefix)_CA accept \(name)")
    } catch {
      let wrong =
        authority == nil
        ? "_CERT and _KEY do not fit together" : "_CERT, _KEY and _CA do not fit together, no peer would accept them"
      bad("certificate", "\(prefix)\(wrong): \(error)")
    }
  }

  mutating func process(_ name: String, at authority: String) async {
    do {
      let loop = try EventLoop.start(name: "doctor")
      let answer = await loop.run { reactor -> (status: Int, body: String)? in
        guard let client = try? HTTPSClient(reactor: reactor) else { return nil }
        defer { client.close() }
        var options = HTTPSClient.Options()
        options.timeout = .seconds(3)
        let request = HTTPRequest(method: .get, scheme: "http", authority: authority, path: "/readyz")
        guard let response = try? await client.send(request, options: options) else { return nil }
        return (response.head.status.code, String(decoding: response.body, as: UTF8.self))
      }
      await loop.shutdown()
      switch answer {
      case nil: bad(name, "nobody answers at \(authority); is \(name)-service running?")
      case (200, _)?: good(name, "ready")
      case (_, let body)?: bad(name, "running, not ready: \(body)")
      }
    } catch {
      bad(name, "\(error)")
    }
  }

  private func good(_ what: String, _ text: String) { line("ok", what, text) }
  private func skipped(_ what: String, _ text: String) { line("--", what, text) }

  private mutating func bad(_ what: String, _ text: String) {
    problems += 1
    line("!!", what, text)
  }

  private func line(_ mark: String, _ what: String, _ text: String) {
    print("\(mark)  \(what)\(String(repeating: " ", count: max(1, 13 - what.utf8.count)))\(text)")
  }
}
