import CivilTime
package import EventLoop
import Glibc
package import HTTPSClient
import HTTPTypes
import StrictJSON
import TLSSession
import URLSyntax

/// Finds credentials where AWS's own SDKs look, in their order: environment, web identity, container endpoint, instance
/// metadata (IMDSv2); keeps them until shortly before they expire. One fetch at a time, whoever asks.
package final class AWSCredentialChain {
  private let settings: AWSSettings
  private let client: HTTPSClient
  private let reactor: Reactor
  private var current: AWSCredentials?
  private var isFetching = false
  private var waiters: [Waiter<Void>] = []

  /// Temporary credentials are renewed this long before their end.
  static let renewalMargin: Duration = .seconds(300)

  package init(_ settings: AWSSettings, client: HTTPSClient, reactor: Reactor) {
    self.settings = settings
    self.client = client
    self.reactor = reactor
  }

  func credentials() async throws(VaultError) -> AWSCredentials {
    if let fixed = settings.staticCredentials { return fixed }
    while true {
      if let current, Self.isFresh(current) { return current }
      if !isFetching { break }
      do {
        try await reactor.wait { waiters.append($0) }
      } catch {
        throw VaultError(.cancelled, "the task was cancelled")
      }
    }
    isFetching = true
    defer {
      isFetching = false
      let waiting = waiters
      waiters = []
      for waiter in waiting { waiter.resume(returning: ()) }
    }
    do {
      let fetched = try await fetch()
      current = fetched
      return fetched
    } catch {
      // Old ones may still be good for their last minutes.
      if let current, let end = current.expiresAt, end > .now() { return current }
      throw error
    }
  }

  /// Called when AWS refused the credentials: the next caller fetches anew.
  func invalidate() { current = nil }

  private static func isFresh(_ credentials: AWSCredentials) -> Bool {
    guard let end = credentials.expiresAt else { return true }
    return end - renewalMargin > .now()
  }

  private func fetch() async throws(VaultError) -> AWSCredentials {
    if let identity = settings.webIdentity { return try await assumeRole(identity) }
    if let container = settings.container { return try await askContainer(container) }
    if settings.usesInstanceMetadata { return try await askInstance() }
    throw VaultError(.configuration, "no AWS credentials: none in the environment, and no role to take")
  }

  // MARK: Sources

  private func assumeRole(_ identity: AWSSettings.WebIdentity) async throws(VaultError) -> AWSCredentials {
    let token = try await readFile(identity.tokenFile)
    let form = [
      ("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", identity.roleARN),
      ("RoleSessionName", identity.sessionName), ("WebIdentityToken", token),
    ].map { "\($0.0)=\(PercentText.encode($0.1))" }.joined(separator: "&")
    let answer = try await send(
      settings.stsEndpoint, method: .post, headers: [(.contentType, "application/x-www-form-urlencoded")],
      body: Array(form.utf8))
    let text = String(decoding: answer, as: UTF8.self)
    guard let id = Self.element("AccessKeyId", text), let secret = Self.element("SecretAccessKey", text),
      let session = Self.element("SessionToken", text)
    else { throw VaultError(.denied, "STS answered without credentials") }
    return AWSCredentials(
      accessKeyID: id, secretAccessKey: SecretBytes(secret), sessionToken: SecretBytes(session),
      expiresAt: Self.element("Expiration", text).flatMap { Timestamp(rfc3339: $0) })
  }

  private func askContainer(_ container: AWSSettings.Container) async throws(VaultError) -> AWSCredentials {
    var headers: [(HTTPField.Name, String)] = []
    if let file = container.tokenFile {
      headers.append((.authorization, try await readFile(file)))
    } else if let token = container.token {
      headers.append((.authorization, token.revealedText))
    }
    return try Self.parse(try await send(container.url, method: .get, headers: headers))
  }

  private func askInstance() async throws(VaultError) -> AWSCredentials {
    let base = settings.metadataEndpoint
    let token = try await send(
      base, method: .put, path: "/latest/api/token", headers: [(Self.metadataTTL, "300")])
    let headers = [(Self.metadataToken, String(decoding: token, as: UTF8.self))]
    let folder = "/latest/meta-data/iam/security-credentials/"
    let role = String(decoding: try await send(base, method: .get, path: folder, headers: headers), as: UTF8.self)
    guard let name = role.split(whereSeparator: \.isNewline).first, !name.isEmpty else {
      throw VaultError(.configuration, "no AWS credentials: this machine has no role")
    }
    return try Self.parse(
      try await send(base, method: .get, path: folder + PercentText.encode(String(name)), headers: headers))
  }

  private static let metadataTTL = HTTPField.Name("X-aws-ec2-metadata-token-ttl-seconds")!
  private static let metadataToken = HTTPField.Name("X-aws-ec2-metadata-token")!

  // MARK: Parts

  private func send(
    _ endpoint: HTTPURL, method: HTTPRequest.Method, path: String? = nil, headers: [(HTTPField.Name, String)],
    body: [UInt8] = []
  ) async throws(VaultError) -> [UInt8] {
    var request = HTTPRequest(method, to: endpoint, path: path)
    for (name, value) in headers { request.headerFields.append(HTTPField(name: name, value: value)) }
    var options = HTTPSClient.Options()
    options.timeout = .seconds(5)
    options.connectTimeout = .seconds(1)
    do {
      let response = try await client.send(request, body: RequestBody(body), options: options)
      guard response.head.status.code == 200 else {
        throw VaultError(.denied, "no AWS credentials: \(endpoint.authority) answered \(response.head.status.code)")
      }
      return response.body
    } catch let error as HTTPSClientError {
      throw VaultError(
        error.code == .cancelled ? .cancelled : .unavailable,
        "no AWS credentials: \(endpoint.authority): \(error.code.description)")
    } catch let error as VaultError {
      throw error
    } catch {
      throw VaultError(.unavailable, "no AWS credentials")
    }
  }

  /// A small file that its owner renews: read it anew each time.
  private func readFile(_ path: String) async throws(VaultError) -> String {
    let text: String?
    do {
      text = try await reactor.offload { Self.contents(of: path) }
    } catch {
      throw VaultError(.cancelled, "the task was cancelled")
    }
    guard let text, !text.isEmpty else { throw VaultError(.configuration, "\"\(path)\" cannot be read") }
    return text
  }

  private static func contents(of path: String) -> String? {
    let fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    let count = read(fd, &bytes, bytes.count)
    guard count > 0 else { return nil }
    let text = String(decoding: bytes[..<count], as: UTF8.self)
    return String(text.reversed().drop { $0.isWhitespace }.reversed())
  }

  static func parse(_ body: [UInt8]) throws(VaultError) -> AWSCredentials {
    guard let object = try? JSONValue(parsing: body).objectValue, let id = object["AccessKeyId"]?.stringValue,
      let secret = object["SecretAccessKey"]?.stringValue
    else { throw VaultError(.denied, "no AWS credentials in the endpoint's answer") }
    return AWSCredentials(
      accessKeyID: id, secretAccessKey: SecretBytes(secret),
      sessionToken: object["Token"]?.stringValue.map { SecretBytes($0) },
      expiresAt: object["Expiration"]?.stringValue.flatMap { Timestamp(rfc3339: $0) })
  }

  /// The text of the first `<name>` of STS's flat XML answer.
  static func element(_ name: String, _ xml: String) -> String? {
    guard let start = xml.firstRange(of: "<\(name)>"), let end = xml.firstRange(of: "</\(name)>"),
      start.upperBound <= end.lowerBound
    else { return nil }
    let text = xml[start.upperBound..<end.lowerBound]
    return text.isEmpty || text.contains("<") || text.contains("&") ? nil : String(text)
  }
}
