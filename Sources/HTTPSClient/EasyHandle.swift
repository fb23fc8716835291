import CLibCurl

/// One libcurl easy handle with what never changes between its requests; kept and used again, because setting one up costs more than a
/// request on a warm connection.
final class EasyHandle {
  let curl: UnsafeMutableRawPointer
  private let errorBuffer: UnsafeMutablePointer<CChar>

  init?(configuration: HTTPSClient.Configuration) {
    guard let curl = curl_easy_init() else { return nil }
    self.curl = curl
    errorBuffer = .allocate(capacity: emcurl_error_size())
    errorBuffer.initialize(repeating: 0, count: emcurl_error_size())
    setConstants(configuration)
  }

  deinit {
    curl_easy_cleanup(curl)
    errorBuffer.deallocate()
  }

  /// libcurl's own words on the last failure, or its words for the code.
  func message(for code: CURLcode) -> String {
    errorBuffer[0] == 0 ? String(cString: curl_easy_strerror(code)) : String(cString: errorBuffer)
  }

  func clearMessage() { errorBuffer[0] = 0 }

  func set(_ option: CURLoption, _ value: Int) { emcurl_set_long(curl, option, value) }
  func set(_ option: CURLoption, _ value: Bool) { emcurl_set_long(curl, option, value ? 1 : 0) }
  func set(_ option: CURLoption, _ value: String?) { emcurl_set_string(curl, option, value) }
  func set(_ option: CURLoption, pointer value: UnsafeMutableRawPointer?) { emcurl_set_pointer(curl, option, value) }

  func get(_ info: CURLINFO) -> Int {
    var value = 0
    return emcurl_get_long(curl, info, &value) == CURLE_OK ? value : 0
  }

  private func setConstants(_ configuration: HTTPSClient.Configuration) {
    emcurl_set_pointer(curl, CURLOPT_ERRORBUFFER, errorBuffer)
    set(CURLOPT_NOSIGNAL, true)
    // Without it, giving up a request waits for the resolver's thread.
    set(CURLOPT_QUICK_EXIT, true)
    set(CURLOPT_FOLLOWLOCATION, false)
    set(CURLOPT_PATH_AS_IS, true)
    set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
    set(CURLOPT_SSL_VERIFYPEER, true)
    set(CURLOPT_SSL_VERIFYHOST, 2)
    // An empty proxy keeps libcurl from looking at the environment.
    set(CURLOPT_PROXY, configuration.proxy ?? "")
    set(CURLOPT_NOPROXY, "")
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, true)
    set(CURLOPT_TCP_KEEPALIVE, true)
    set(CURLOPT_MAXAGE_CONN, max(1, Int(configuration.maxIdle.components.seconds)))
    set(CURLOPT_PIPEWAIT, true)
    setTrust(configuration.trustRoots)
    emcurl_set_transfer(curl, CURLOPT_READFUNCTION) { bytes, size, count, context in
      Transfer.from(context)?.takeBody(into: UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
        ?? Int(CURL_READFUNC_ABORT)
    }
    emcurl_set_transfer(curl, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
      let taken =
        Transfer.from(context)?.takeHeaderLine(UnsafeRawBufferPointer(start: bytes, count: size * count))
        ?? false
      return taken ? size * count : 0
    }
    emcurl_set_transfer(curl, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
      let taken =
        Transfer.from(context)?.response.takeBody(UnsafeRawBufferPointer(start: bytes, count: size * count)) ?? false
      return taken ? size * count : 0
    }
    // What the server says about streams that it did not process stands nowhere but in libcurl's commentary.
    emcurl_set_debug(curl) { _, kind, bytes, count, context in
      if kind == CURLINFO_TEXT { Transfer.from(context)?.heard(UnsafeRawBufferPointer(start: bytes, count: count)) }
      return 0
    }
    emcurl_set_prereq(curl) { context, _, _, _, _ in
      Transfer.from(context)?.connectionIsReady() == true ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
    }
  }

  private func setTrust(_ roots: HTTPSClient.TrustRoots) {
    switch roots {
    case .system:
      // A bundle file alone, without a directory, is what libcurl caches between connections.
      if let bundle = SystemTrust.bundle {
        set(CURLOPT_CAINFO, bundle)
        set(CURLOPT_CAPATH, nil)
      }
    case .file(let path):
      set(CURLOPT_CAINFO, path)
      set(CURLOPT_CAPATH, nil)
    case .pem(let bytes):
      set(CURLOPT_CAINFO, nil)
      set(CURLOPT_CAPATH, nil)
      bytes.withUnsafeBytes { _ = emcurl_set_blob(curl, CURLOPT_CAINFO_BLOB, $0.baseAddress, $0.count) }
    }
  }
}
