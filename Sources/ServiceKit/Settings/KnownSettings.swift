/// Every name that some process of the project reads. One environment may serve all processes, so a name that this
/// process does not use is fine; one that is not here is a mistake.
package enum KnownSettings {
  /// May be given as `NAME_FILE` too.
  package static let secrets: Set<String> = [
    "DATABASE_URL", "EMAILMCP_CONTEXT_KEYS", "EMAILMCP_GOOGLE_CLIENT_SECRET", "EMAILMCP_KEY_PEPPER",
    "EMAILMCP_TOKEN_KEYS", "EMAILMCP_VAULT_KEYS", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
  ]

  package static let own: Set<String> = [
    "EMAILMCP_ADMIN_LISTEN", "EMAILMCP_CONTEXT_KEYS", "EMAILMCP_DRAIN_TIMEOUT", "EMAILMCP_EDGE_TLS_CERT",
    "EMAILMCP_EDGE_TLS_KEY", "EMAILMCP_GMAIL_API_URL", "EMAILMCP_GMAIL_DAILY_RECIPIENTS",
    "EMAILMCP_GMAIL_PROJECT_UNITS_PER_MINUTE", "EMAILMCP_GMAIL_UNITS_PER_MINUTE", "EMAILMCP_GOOGLE_AUTHORIZATION_URL",
    "EMAILMCP_GOOGLE_CLIENT_ID", "EMAILMCP_GOOGLE_CLIENT_SECRET", "EMAILMCP_GOOGLE_ISSUER", "EMAILMCP_GOOGLE_JWKS_URL",
    "EMAILMCP_GOOGLE_REDIRECT_URI", "EMAILMCP_GOOGLE_REVOCATION_URL", "EMAILMCP_GOOGLE_TOKEN_URL",
    "EMAILMCP_KEY_PEPPER",
    "EMAILMCP_LISTEN", "EMAILMCP_LOG_FORMAT", "EMAILMCP_LOG_LEVEL", "EMAILMCP_LOOPS", "EMAILMCP_MAILER_TARGET",
    "EMAILMCP_MAILER_SERVICE_CONFIG", "EMAILMCP_OAUTH_SERVICE_CONFIG", "EMAILMCP_REPORT_SERVICE_CONFIG",
    "EMAILMCP_MAX_UNSENT_PER_TENANT", "EMAILMCP_OAUTH_TARGET", "EMAILMCP_PUBLIC_URL", "EMAILMCP_RATE_PER_KEY",
    "EMAILMCP_RATE_PER_USER",
    "EMAILMCP_REPORT_TARGET", "EMAILMCP_RPC_TLS", "EMAILMCP_SANDBOX_DATA", "EMAILMCP_TEST_PYTHON", "EMAILMCP_TLS_CA",
    "EMAILMCP_TLS_CERT",
    "EMAILMCP_TLS_KEY", "EMAILMCP_TOKEN_KEYS", "EMAILMCP_URL", "EMAILMCP_API_KEY", "EMAILMCP_VAULT",
    "EMAILMCP_VAULT_KEYS", "EMAILMCP_WEBHOOK_LOOPBACK",
  ]

  /// A problem for each `EMAILMCP_*` name that nothing reads, with the nearest name that something does.
  static func unknownNames(in environment: [String: String]) -> [SettingsError.Problem] {
    environment.keys.filter { $0.hasPrefix("EMAILMCP_") && !isKnown($0) }.sorted().map { name in
      let candidates = own.union(secrets.map { $0 + "_FILE" })
      let nearest = candidates.map { (editDistance(name, $0), $0) }.min { $0 < $1 }
      // All names begin alike: a third of what follows.
      guard let nearest, nearest.0 <= max(1, (name.utf8.count - 9) / 3) else { return .init(name, "is not a setting") }
      return .init(name, "is not a setting; did you mean \(nearest.1)?")
    }
  }

  private static func isKnown(_ name: String) -> Bool {
    own.contains(name) || (name.hasSuffix("_FILE") && secrets.contains(String(name.dropLast(5))))
  }
}

/// Levenshtein's distance: insertions, deletions and replacements between two names.
func editDistance(_ left: String, _ right: String) -> Int {
  let right = Array(right.utf8)
  var row = Array(0...right.count)
  for (i, a) in left.utf8.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, b) in right.enumerated() {
      let replaced = diagonal + (a == b ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[right.count]
}
