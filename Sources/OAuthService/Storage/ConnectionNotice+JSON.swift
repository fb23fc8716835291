import StrictJSON

extension ConnectionNotice {
  /// The channel that `PostgresAccounts` notifies.
  static let channel = "emailmcp_connections"

  /// What `PostgresAccounts` sends. Nil for anything else.
  init?(payload: String) {
    guard let json = try? JSONValue(parsing: payload), let tenant = json["tenant"]?.stringValue,
      let user = json["user"]?.stringValue, let status = json["status"]?.stringValue.flatMap(ConnectionStatus.init),
      let grant = json["grant"]?.int64Value
    else { return nil }
    self.init(user: UserKey(tenant: tenant, user: user), status: status, grantVersion: grant)
  }
}
