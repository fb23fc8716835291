import CivilTime
import RPCRuntime
import ServiceContracts

extension RPCError {
  /// A failure of the domain, with its reason for the edge's table.
  init(_ failure: OAuthFailure) {
    if let field = failure.field {
      self = .invalidField(field, failure.message)
      return
    }
    let code: StatusCode =
      switch failure.kind {
      case .invalidInput: .invalidArgument
      case .precondition: .failedPrecondition
      case .unavailable: .unavailable
      case .badAnswer: .internal
      case .abandoned: .aborted
      }
    self.init(code, reason: failure.reason, failure.message)
  }
}

extension TokenDemand {
  init(_ request: OAuth.GetAccessTokenRequest) throws(OAuthFailure) {
    self.init()
    if let given = request.minLifetime {
      guard let lifetime = given.duration(in: .zero...Self.longestLifetime) else {
        throw .invalidField("min_lifetime", "must be from 0 to \(Self.longestLifetime.components.seconds) seconds")
      }
      minimumLifetime = lifetime
    }
    if let refusal = request.refused {
      guard refusal.reason.isKnown else {
        throw .invalidField("refused.reason", "must be invalid or insufficient_scope")
      }
      refused = (refusal.tokenVersion, refusal.reason == .insufficientScope ? .insufficientScope : .invalid)
    }
  }
}

extension OAuth.ConnectionStatus {
  init(_ status: ConnectionStatus) {
    self =
      switch status {
      case .active: .active
      case .reauthRequired: .reauthRequired
      case .disconnected: .disconnected
      }
  }
}

extension OAuth.GetProfileResponse {
  init(_ account: Account?, userID: String) {
    self.init()
    self.userID = userID
    provider = .gmailAPI
    guard let account else {
      status = .neverConnected
      return
    }
    status = OAuth.ConnectionStatus(account.status)
    lastUsedAt = account.lastUsedAt.map { ProtobufTimestamp($0) }
    // What was connected once is nobody's business any more.
    guard account.status != .disconnected else { return }
    gmailConnected = account.status == .active
    emailAddress = account.email
    reauthReason = account.status == .reauthRequired ? account.reauthReason ?? "invalid_grant" : nil
    scopes = account.scopes
    connectedAt = ProtobufTimestamp(account.connectedAt)
  }
}

extension OAuth.ConnectionChange {
  init(_ notice: ConnectionNotice, at time: Timestamp) {
    self.init()
    tenantID = notice.user.tenant
    userID = notice.user.user
    status = OAuth.ConnectionStatus(notice.status)
    grantVersion = notice.grantVersion
    at = ProtobufTimestamp(time)
  }
}
