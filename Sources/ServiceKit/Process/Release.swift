/// What was released.
package enum Release {
  /// Said by `--version` of every program and by the API's description.
  package static let version = "1.0.0"
  /// The newest step of the schema that the services' statements rely on.
  package static let schema = 36
}
