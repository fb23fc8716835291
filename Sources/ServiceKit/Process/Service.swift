/// What makes one process different from the others: its settings, and its graph of objects on one loop.
package protocol Service: SendableMetatype {
  /// What `configure` read. May hold Sendable objects that all loops share, such as key sets.
  associatedtype Configuration: Sendable

  /// The service's own word: `edge`, `oauth`, `mailer`, `report`. Stands in every log line and in its SPIFFE name.
  static var name: String { get }
  static var defaultListen: String { get }
  static var defaultAdminListen: String { get }
  /// The most loops that the process may have; more than one unless all its state must be one loop's.
  static var maximumLoops: Int { get }
  /// An argument that its executable alone takes, for the help.
  static var ownArgument: (name: String, help: String)? { get }
  /// Help texts and buckets of the service's own metrics.
  static var metrics: [MetricDescription] { get }

  /// Reads every setting of the service; the process has read the common ones. Starts nothing.
  static func configure(_ settings: Settings, _ common: CommonSettings) -> Configuration

  /// Builds the objects of one loop and starts to serve. Called once for each loop, in order. Throws only for what no
  /// waiting cures, such as a port in use: dependencies that are away make the process not ready, not dead.
  static func start(on loop: ServiceLoop, _ configuration: Configuration) async throws -> any ServiceGraph
}

extension Service {
  package static var maximumLoops: Int { 256 }
  package static var ownArgument: (name: String, help: String)? { nil }
  package static var metrics: [MetricDescription] { [] }
}

/// What runs on one loop.
package protocol ServiceGraph: AnyObject {
  /// Takes no new work, finishes what is in hand, closes everything. Cancels what is left when the time is over.
  func drain(within limit: Duration) async
}
