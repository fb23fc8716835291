import CLibCurl
import Glibc

/// Where the system keeps the CA certificates that it trusts.
enum SystemTrust {
  /// The bundle of Debian and its kin, of Red Hat's, and of Alpine and openSUSE; nil leaves the choice to libcurl.
  static let bundle: String? = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
  ].first { access($0, R_OK) == 0 }
}

/// What libcurl needs once a process.
enum LibCurl {
  static let isReady: Bool = {
    // A peer that went away must be an error, not a signal: OpenSSL writes without MSG_NOSIGNAL.
    signal(SIGPIPE, SIG_IGN)
    return curl_global_init(Int(CURL_GLOBAL_ALL)) == CURLE_OK
  }()
}
