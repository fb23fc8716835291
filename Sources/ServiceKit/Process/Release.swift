/// What was released: said by `--version` of every program and by the API's description.
package enum Release {
  package static let version = "1.0.0"
}
