import EventLoop
import Glibc
import HTTPSClient
import PostgresClient
import ServiceKit
import StrictJSON
import TLSSession

/// One run of `emailmcp dev`: ordered start, the final block, then until a signal or a failure, and an ordered stop.
final class DevRun {
  private let reactor: Reactor
  private let folder: DevFolder
  private let ports: DevPorts
  private let caller: [String: String]
  private let postgres: EmbeddedPostgres
  private let system: DevSystem
  private let binaries: String

  /// Started in this order, after the database; the edge comes last, so that it answers when the rest does.
  private static let services = [["oauth", "report"], ["mailer"], ["edge"]]

  init(on reactor: Reactor, folder: DevFolder, ports: DevPorts, caller: [String: String]) throws {
    self.reactor = reactor
    self.folder = folder
    self.ports = ports
    self.caller = caller
    binaries = try Self.folderOfThisProgram()
    for name in Self.services.joined().map({ "\($0)-service" }) + ["google-sandbox"]
    where access("\(binaries)/\(name)", X_OK) != 0 {
      throw DevError("\(name) is missing beside this program, in \(binaries); build it with: swift build -c release")
    }
    try ports.requireUnused()
    postgres = try EmbeddedPostgres(folder, port: ports.postgres)
    system = DevSystem(on: reactor, http: try HTTPSClient(reactor: reactor), line: printLine)
  }

  private static func folderOfThisProgram() throws -> String {
    guard let path = realpath("/proc/self/exe", nil) else { throw SystemError("realpath /proc/self/exe") }
    defer { free(path) }
    return String(cString: path).split(separator: "/").dropLast().map { "/\($0)" }.joined()
  }

  /// Runs until a signal, which is an orderly end, or a failure, which is thrown after the stop.
  func untilStopped(summary: String?) async throws {
    var signalled: Waiter<Void>?
    var isSignalled = false
    let signals = try SignalWatch(on: reactor) { number in
      guard !isSignalled else { return }
      isSignalled = true
      printLine("emailmcp", "stopping (\(String(cString: strsignal(number))))")
      signalled?.resume(returning: ())
    }
    defer { signals.close() }
    let life = reactor.spawn { [self] in
      try await start(summary: summary)
      throw try await system.waitForFailure()
    }
    let watch = reactor.spawn { [reactor] in
      if !isSignalled { try await reactor.wait { signalled = $0 } }
      life.cancel()
    }
    let result: Result<Void, any Error> = await life.result
    watch.cancel()
    await system.stop()
    if !isSignalled { try result.get() }
  }

  private func start(summary: String?) async throws {
    let began = Instant.current()
    _ = try folder.identities.ensure()
    let key = try await startDatabase()
    let settings = DevSettings(
      ports: ports, folder: folder, databaseURL: postgres.url(EmbeddedPostgres.application),
      clientSecret: try folder.secret("google-client-secret"), caller: caller)
    try await registerPlatform(settings)
    try await startServices(settings)
    printLine("emailmcp", "everything is ready after \(Int((Instant.current() - began).inSeconds * 1000)) ms")
    let guide = DevGuide(settings: settings, key: key)
    printText(guide.text)
    if let summary { try PrivateFile.write(guide.json(binaries: binaries, database: postgres), to: summary) }
  }

  private func startDatabase() async throws -> String {
    try await postgres.initialize(on: reactor, line: printLine)
    system.adopt(try await postgres.start(on: reactor, line: printLine))
    let postgres = self.postgres
    let identities = folder.identities
    let keyFile = folder.apiKey
    return try await reactor.offload {
      try postgres.prepareLogins()
      let url = postgres.url(EmbeddedPostgres.owner)
      for step in try Schema.migrate(url: url) {
        printLine("emailmcp", "applied migration \(step.version) \(step.name)")
      }
      try postgres.admitServices()
      return try Self.ensureKey(Tenants(url: url), identities, keyFile)
    }
  }

  /// The key of the last run, unless it was revoked since.
  private static func ensureKey(_ tenants: Tenants, _ identities: Identities, _ file: String) throws -> String {
    let peppers = try KeyCommand.peppers(PrivateFile.readText(identities.file("key-pepper")))
    if PrivateFile.exists(file), let key = APIKey(try PrivateFile.readText(file)),
      try tenants.isLive(key, peppers: peppers)
    {
      return key.revealed
    }
    let key = try tenants.createKey(
      "default", scopes: Tenants.scopes, environment: .test, expiresIn: nil, peppers: peppers)
    try PrivateFile.write(Array(key.revealed.utf8), to: file)
    return key.revealed
  }

  private func registerPlatform(_ settings: DevSettings) async throws {
    let url = postgres.url(EmbeddedPostgres.owner)
    let (page, origin) = (settings.platformPage, settings.sandboxURL)
    try await reactor.offload {
      let tenants = try Tenants(url: url)
      try tenants.addRedirect("default", page)
      try tenants.addOrigin("default", origin)
    }
  }

  private func startServices(_ settings: DevSettings) async throws {
    try system.start("sandbox", at: "\(binaries)/google-sandbox", environment: settings.sandbox())
    try await system.awaitReady("google-sandbox", "\(settings.sandboxURL)/healthz")
    // Each wave needs the one before it: nobody starts into a wait for a peer that is not there yet.
    for wave in Self.services {
      for name in wave {
        let environment = settings.service(name, settings.ports[name])
        try system.start(name, at: "\(binaries)/\(name)-service", environment: environment)
      }
      for name in wave {
        try await system.awaitReady("\(name)-service", "http://127.0.0.1:\(settings.ports[name].admin)/readyz")
      }
    }
  }
}
