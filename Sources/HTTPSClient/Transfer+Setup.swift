import CLibCurl
import EventLoop
import HTTPTypes

extension Transfer {
  /// Names that libcurl sets from the request itself.
  static let ownedNames: Set<HTTPField.Name> = [.contentLength, .transferEncoding, .connection, .expect, .upgrade, .te]

  /// Puts the request on a handle. Everything that any request sets is set here each time, so that nothing is left of the one before.
  func prepare(_ handle: EasyHandle) {
    self.handle = handle
    let context = Unmanaged.passUnretained(self).toOpaque()
    handle.clearMessage()
    for option in [
      CURLOPT_PRIVATE, CURLOPT_READDATA, CURLOPT_HEADERDATA, CURLOPT_WRITEDATA, CURLOPT_PREREQDATA, CURLOPT_DEBUGDATA,
    ] {
      handle.set(option, pointer: context)
    }
    handle.set(CURLOPT_PROTOCOLS_STR, target.isPlaintext ? "http" : "https")
    handle.set(CURLOPT_HTTP_VERSION, target.isPlaintext ? Int(CURL_HTTP_VERSION_1_1) : Int(CURL_HTTP_VERSION_2TLS))
    handle.set(CURLOPT_VERBOSE, !target.isPlaintext)
    handle.set(CURLOPT_URL, target.url)
    handle.set(CURLOPT_CONNECTTIMEOUT_MS, max(1, min(options.connectTimeout, options.timeout).wholeMilliseconds))
    setMethod(handle)
    setFields(handle)
    setAddress(handle)
  }

  /// Takes the request off its handle.
  func release() {
    if let handle {
      emcurl_set_list(handle.curl, CURLOPT_HTTPHEADER, nil)
      emcurl_set_list(handle.curl, CURLOPT_CONNECT_TO, nil)
      handle.set(CURLOPT_PRIVATE, pointer: nil)
    }
    curl_slist_free_all(headerList)
    headerList = nil
    curl_slist_free_all(addressList)
    addressList = nil
    handle = nil
  }

  private func setMethod(_ handle: EasyHandle) {
    let method = request.method
    // A GET first: it undoes what a POST or HEAD has set.
    handle.set(CURLOPT_HTTPGET, true)
    handle.set(CURLOPT_CUSTOMREQUEST, nil)
    let takesBody = body.count > 0 || method == .post || method == .put || method == .patch
    if takesBody {
      // The body comes from the read function alone, and there is no seek function: libcurl 7.88 repeats a POST whose reused connection
      // closes after the body, and only the missing way back makes it give up (CURLE_SEND_FAIL_REWIND).
      handle.set(CURLOPT_POST, true)
      emcurl_set_off(handle.curl, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
      if method != .post { handle.set(CURLOPT_CUSTOMREQUEST, method.rawValue) }
    } else if method == .head {
      handle.set(CURLOPT_NOBODY, true)
    } else if method != .get {
      handle.set(CURLOPT_CUSTOMREQUEST, method.rawValue)
    }
    // With no body bytes there is nothing to rewind, and libcurl would repeat the request: a connection of its own prevents it.
    let isRepeatable = method == .get || method == .head || body.count > 0
    handle.set(CURLOPT_FRESH_CONNECT, !isRepeatable)
  }

  /// libcurl keeps a connection made so apart from those made by the name alone, so the address also holds for reuse.
  private func setAddress(_ handle: EasyHandle) {
    guard let address = options.address else { return }
    let host = address.family == .ipv6 ? "[\(address.host)]" : address.host
    addressList = curl_slist_append(nil, "::\(host):")
    emcurl_set_list(handle.curl, CURLOPT_CONNECT_TO, addressList)
  }

  private func setFields(_ handle: EasyHandle) {
    var list: UnsafeMutablePointer<curl_slist>?
    for field in request.headerFields {
      // A field with an empty value is written with a semicolon, or libcurl takes it for a removal.
      let line = field.value.isEmpty ? "\(field.name.rawName);" : "\(field.name.rawName): \(field.value)"
      list = curl_slist_append(list, line) ?? list
    }
    // What libcurl would add by itself.
    if !request.headerFields.contains(.accept) { list = curl_slist_append(list, "Accept:") ?? list }
    if !request.headerFields.contains(.contentType) { list = curl_slist_append(list, "Content-Type:") ?? list }
    list = curl_slist_append(list, "Expect:") ?? list
    headerList = list
    emcurl_set_list(handle.curl, CURLOPT_HTTPHEADER, list)
  }
}

extension Duration {
  /// Rounded up, so that a short wait is never none.
  var wholeMilliseconds: Int {
    let (seconds, attoseconds) = components
    let part = attoseconds / 1_000_000_000_000_000
    let rest = attoseconds % 1_000_000_000_000_000
    return Int(seconds) * 1_000 + Int(part) + (rest > 0 ? 1 : 0)
  }
}
