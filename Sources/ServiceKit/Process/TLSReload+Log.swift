internal import Logging
package import TLSSession

extension TLSReload {
  /// Says so in the log: files that cannot be used go unnoticed otherwise until the certificate before them ends.
  package func tell(of service: String) {
    let logger = Logger(label: service)
    switch self {
    case .reloaded: logger.info("certificates were loaded anew")
    case .failed(let error):
      logger.error(
        "changed certificates cannot be used; those from before stay in use", metadata: ["error": "\(error)"])
    }
  }
}
