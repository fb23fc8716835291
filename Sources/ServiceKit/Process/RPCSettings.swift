package import RPCRuntime
internal import ServiceContracts
package import TLSSession

/// The settings of a process that speaks gRPC with the others.
package struct RPCSettings: Sendable {
  package let identity: RPCIdentity
  /// Sign and check call contexts.
  package let contextKeys: Keyring
  /// Service configs of the operator's own, in place of the built-in ones.
  package let policies: [PeerService: ServiceConfiguration]

  package init(
    identity: RPCIdentity, contextKeys: Keyring, policies: [PeerService: ServiceConfiguration] = [:]
  ) {
    self.identity = identity
    self.contextKeys = contextKeys
    self.policies = policies
  }

  package init(_ settings: Settings, of service: String) {
    identity = RPCIdentity(settings, of: service)
    contextKeys = settings.keyring("EMAILMCP_CONTEXT_KEYS")
    var policies: [PeerService: ServiceConfiguration] = [:]
    for peer in PeerService.allCases { policies[peer] = settings.serviceConfiguration(peer.policySetting) }
    self.policies = policies
  }
}

extension Settings {
  /// gRPC's service config as JSON.
  func serviceConfiguration(_ name: String) -> ServiceConfiguration? {
    value(name) { text throws(SettingProblem) in
      let configuration: ServiceConfiguration
      do throws(ServiceConfigurationError) {
        configuration = try ServiceConfiguration(json: text)
      } catch {
        throw SettingProblem("is no gRPC service config: \(error)")
      }
      // Said now: else every call of the method would fail.
      for method in ServiceMethods.all {
        if let mistake = configuration.mistake(about: method) { throw SettingProblem(mistake) }
      }
      return configuration
    }
  }

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
