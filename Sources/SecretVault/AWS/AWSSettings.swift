package import TLSSession
package import URLSyntax

/// Where AWS is and who we are there, in the AWS SDKs' own names.
package struct AWSSettings: Sendable {
  package var region: String
  package var endpoint: HTTPURL
  package var stsEndpoint: HTTPURL
  package var staticCredentials: AWSCredentials?
  package var webIdentity: WebIdentity?
  package var container: Container?
  /// False with `AWS_EC2_METADATA_DISABLED=true`.
  package var usesInstanceMetadata: Bool
  package var metadataEndpoint: HTTPURL

  /// A role that a Kubernetes service account may take (IRSA).
  package struct WebIdentity: Sendable {
    package let tokenFile: String
    package let roleARN: String
    package let sessionName: String
  }

  /// The credentials that ECS and EKS Pod Identity serve to a container.
  package struct Container: Sendable {
    package let url: HTTPURL
    package let token: SecretBytes?
    package let tokenFile: String?
  }

  /// Hosts that these settings reach over plain HTTP, for the HTTP client's configuration: the machine's own link-local
  /// services, and an endpoint of the same network by a bare name (a stand-in beside us in a compose file).
  package var plaintextHosts: Set<String> {
    var hosts = Self.linkLocalHosts
    for endpoint in [endpoint, stsEndpoint] where endpoint.scheme == .http { hosts.insert(endpoint.host) }
    return hosts
  }

  static let linkLocalHosts: Set<String> = ["169.254.169.254", "169.254.170.2", "169.254.170.23"]

  /// - Parameter lookup: the environment.
  /// - Throws: `VaultError` of code `configuration`.
  package init(_ lookup: (String) -> String?) throws(VaultError) {
    func value(_ name: String) -> String? { lookup(name).flatMap { $0.isEmpty ? nil : $0 } }
    guard let region = value("AWS_REGION") ?? value("AWS_DEFAULT_REGION") else {
      throw VaultError(.configuration, "AWS_REGION is needed with EMAILMCP_VAULT=aws")
    }
    guard region.utf8.allSatisfy({ Self.isRegionByte($0) }) else {
      throw VaultError(.configuration, "AWS_REGION is not the name of a region")
    }
    self.region = region
    let domain = region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
    let everywhere = value("AWS_ENDPOINT_URL")
    endpoint = try HTTPURL(
      aws: value("AWS_ENDPOINT_URL_SECRETS_MANAGER") ?? everywhere ?? "https://secretsmanager.\(region).\(domain)")
    stsEndpoint = try HTTPURL(aws: value("AWS_ENDPOINT_URL_STS") ?? everywhere ?? "https://sts.\(region).\(domain)")
    metadataEndpoint = try HTTPURL(
      aws: value("AWS_EC2_METADATA_SERVICE_ENDPOINT") ?? "http://169.254.169.254", linkLocal: true)
    usesInstanceMetadata = value("AWS_EC2_METADATA_DISABLED")?.lowercased() != "true"

    switch (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")) {
    case (let id?, let secret?):
      staticCredentials = AWSCredentials(
        accessKeyID: id, secretAccessKey: SecretBytes(secret),
        sessionToken: value("AWS_SESSION_TOKEN").map { SecretBytes($0) })
    case (nil, nil): staticCredentials = nil
    default:
      throw VaultError(.configuration, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together")
    }
    if let file = value("AWS_WEB_IDENTITY_TOKEN_FILE"), let role = value("AWS_ROLE_ARN") {
      webIdentity = WebIdentity(
        tokenFile: file, roleARN: role, sessionName: value("AWS_ROLE_SESSION_NAME") ?? "emailmcp")
    }
    if let url = value("AWS_CONTAINER_CREDENTIALS_FULL_URI")
      ?? value("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map({ "http://169.254.170.2\($0)" })
    {
      container = Container(
        url: try HTTPURL(aws: url, linkLocal: true),
        token: value("AWS_CONTAINER_AUTHORIZATION_TOKEN").map { SecretBytes($0) },
        tokenFile: value("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
    }
  }

  private static func isRegionByte(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "-") || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte
      || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
  }
}

extension HTTPURL {
  /// An endpoint of AWS or of what stands in for it.
  ///
  /// - Parameter linkLocal: whether plain HTTP may also go to the machine's own link-local addresses.
  package init(aws text: String, linkLocal: Bool = false) throws(VaultError) {
    guard let url = HTTPURL(text) else { throw VaultError(.configuration, "\"\(text)\" is not an http or https URL") }
    let isBareName = !url.host.contains(".") && !url.host.contains(":")
    guard url.isTrustworthy || isBareName || (linkLocal && AWSSettings.linkLocalHosts.contains(url.host)) else {
      throw VaultError(.configuration, "plain http is for this machine and its own network only: \"\(text)\"")
    }
    self = url
  }
}
