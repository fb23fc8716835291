package import PostgresClient

extension Settings {
  /// `DATABASE_URL`. Its sessions are told apart by the service's name, unless the URL has a name for them.
  package func database(of service: String) -> PostgresConfiguration? {
    secret("DATABASE_URL") { url in
      var configuration = try PostgresConfiguration(url: url)
      configuration.applicationName = "emailmcp/\(service)"
      return configuration
    }
  }
}
