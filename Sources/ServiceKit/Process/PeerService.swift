internal import ServiceContracts

/// A process of this system that another one calls.
package enum PeerService: String, Sendable, CaseIterable {
  case oauth, mailer, report

  /// The gRPC service that it serves; its health under this name says whether it takes calls.
  package var service: String {
    switch self {
    case .oauth: OAuth.service
    case .mailer: Mailer.service
    case .report: Reports.service
    }
  }

  /// The setting that takes the place of the built-in service config.
  package var policySetting: String { "EMAILMCP_\(rawValue.uppercased())_SERVICE_CONFIG" }
}
