import RPCRuntime
import ServiceContracts
import ServiceKit
import TLSSession

/// The three services behind the edge, as one loop sees them.
final class Backends {
  let oauth: RPCChannel
  let mailer: RPCChannel
  let reports: RPCChannel
  private let signer: ContextSigner

  init(oauth: RPCChannel, mailer: RPCChannel, reports: RPCChannel, contextKeys: Keyring) {
    self.oauth = oauth
    self.mailer = mailer
    self.reports = reports
    signer = ContextSigner(keys: contextKeys, issuer: "edge")
  }

  /// What every call carries: for whom it is, signed. The trace and the request's id come from the scope.
  func options(for call: EdgeCall, timeout: Duration = .seconds(10)) -> CallOptions {
    var context = CallContext()
    if let caller = call.caller {
      context.tenantID = caller.tenant
      context.credentialID = caller.keyID
      context.credentialKind = caller.isUserToken ? .userToken : .apiKey
      context.scopes = caller.scopes.map(\.rawValue).sorted()
    }
    context.userID = call.user?.text ?? ""
    return CallOptions(timeout: timeout, metadata: signer.metadata(for: context))
  }

  func close() {
    for channel in [oauth, mailer, reports] { channel.close() }
  }
}
