package import RPCRuntime
package import TLSSession

/// The settings of a process that speaks gRPC with the others.
package struct RPCSettings: Sendable {
  package let identity: RPCIdentity
  /// Sign and check call contexts.
  package let contextKeys: Keyring

  package init(identity: RPCIdentity, contextKeys: Keyring) {
    self.identity = identity
    self.contextKeys = contextKeys
  }

  package init(_ settings: Settings) {
    identity = RPCIdentity(settings)
    contextKeys = settings.keyring("EMAILMCP_CONTEXT_KEYS")
  }
}

extension Settings {
  /// Where another service is, in gRPC's name syntax.
  package func target(_ name: String, default fallback: String) -> ChannelTarget {
    let target = value(name, default: fallback) { text throws(SettingProblem) in
      do throws(RPCError) {
        return try ChannelTarget(text)
      } catch {
        throw SettingProblem("is no gRPC name: \(error.message)")
      }
    }
    // A placeholder for a setting that `finish` refuses.
    return target ?? Self.nowhere
  }

  private static let nowhere: ChannelTarget = {
    do {
      return try ChannelTarget("unix:/nowhere")
    } catch {
      preconditionFailure("\(error)")
    }
  }()
}
