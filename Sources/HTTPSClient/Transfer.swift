import CLibCurl
import EventLoop
import HTTPTypes

/// One request under way: its body's reader, what has come back, and who waits for the end.
final class Transfer {
  let id: UInt64
  let target: RequestTarget
  let request: HTTPRequest
  let body: RequestBody
  let options: HTTPSClient.Options
  private var reader: RequestBodyReader
  var response: ResponseCollector
  private(set) var observation = TransportObservation()
  private var streams = StreamNotes()
  private var isTooLate = false
  var handle: EasyHandle?
  var headerList: UnsafeMutablePointer<curl_slist>?
  var addressList: UnsafeMutablePointer<curl_slist>?
  var deadline: Timer?
  /// Of the body, from the head on.
  var bodyDeadline: Timer?
  /// Told once when the final head has come.
  var headCame: (() -> Void)?
  var continuation: CheckedContinuation<Result<HTTPSClient.Response, HTTPSClientError>, Never>?

  init(id: UInt64, target: RequestTarget, request: HTTPRequest, body: RequestBody, options: HTTPSClient.Options) {
    self.id = id
    self.target = target
    self.request = request
    self.body = body
    self.options = options
    reader = RequestBodyReader(body)
    response = ResponseCollector(maxHeadBytes: options.maxHeadBytes, maxBodyBytes: options.maxBodyBytes)
    observation.bodyBytes = body.count
  }

  /// The transfer that a libcurl callback is about.
  static func from(_ context: UnsafeMutableRawPointer?) -> Transfer? {
    context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
  }

  /// libcurl has a connection and will now send the request. Refused where an earlier try already took body bytes: libcurl would send the
  /// rest of the body only, and nobody knows what became of the first try.
  func connectionIsReady() -> Bool {
    guard !observation.bodyWasAskedFor, mayBegin() else { return false }
    observation.attempts += 1
    observation.refusedUnprocessed = false
    streams = StreamNotes()
    observation.connectionWasReused = handle?.get(CURLINFO_NUM_CONNECTS) == 0
    return true
  }

  private func mayBegin() -> Bool {
    isTooLate = options.notAfter.map { ContinuousClock.now > $0 } ?? false
    return !isTooLate
  }

  func takeBody(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    // The head may have waited for a socket that took nothing.
    guard observation.bodyWasAskedFor || mayBegin() else { return Int(CURL_READFUNC_ABORT) }
    observation.bodyWasAskedFor = true
    let count = reader.read(into: buffer)
    observation.bodyBytesHandedOver += count
    return count
  }

  /// False ends the transfer.
  func takeHeaderLine(_ line: UnsafeRawBufferPointer) -> Bool {
    let goesOn = response.takeHeaderLine(line)
    if response.finalStatus != nil, let headCame {
      self.headCame = nil
      headCame()
    }
    return goesOn
  }

  /// A line of libcurl's commentary on this request.
  func heard(_ line: UnsafeRawBufferPointer) {
    streams.take(line)
    if streams.isUnprocessed { observation.refusedUnprocessed = true }
  }

  /// Gives the outcome to the waiting task; only the first one counts.
  func finish(_ result: Result<HTTPResponse, Failure>) {
    guard let continuation else { return }
    self.continuation = nil
    for timer in [deadline, bodyDeadline] { timer?.cancel() }
    (deadline, bodyDeadline, headCame) = (nil, nil, nil)
    observation.status = response.finalStatus
    var result = result
    if case .failure(let failure) = result, options.bodyTimeout != nil, failure.code != .cancelled,
      failure.code != .closed, let head = response.head
    {
      result = .success(head)
    }
    switch result {
    case .success(let head):
      continuation.resume(
        returning: .success(HTTPSClient.Response(head: head, body: response.body, observation: observation)))
    case .failure(let failure):
      continuation.resume(
        returning: .failure(HTTPSClientError(failure.code, failure.message, observation: observation)))
    }
  }

  /// A failure before the observation is added to it.
  struct Failure: Error {
    let code: HTTPSClientError.Code
    let message: String
  }

  /// Reads libcurl's result once the transfer is done.
  func outcome(of code: CURLcode, handle: EasyHandle) -> Result<HTTPResponse, Failure> {
    if code == CURLE_OK {
      guard let head = response.head else {
        return .failure(Failure(code: .protocolViolation, message: "\(target.host) answered without a final status"))
      }
      return .success(head)
    }
    return .failure(failure(of: code, words: handle.message(for: code)))
  }

  private func failure(of code: CURLcode, words: String) -> Failure {
    if isTooLate {
      return Failure(code: .tooLate, message: "\(target.host): no connection was ready in time")
    }
    let kind: HTTPSClientError.Code
    switch (response.overflow, code) {
    case (.head, _):
      return Failure(code: .headTooLarge, message: "\(target.host) sent a head over \(options.maxHeadBytes) bytes")
    case (.body, _):
      return Failure(code: .bodyTooLarge, message: "\(target.host) sent a body over \(options.maxBodyBytes) bytes")
    case (_, CURLE_COULDNT_RESOLVE_HOST), (_, CURLE_COULDNT_RESOLVE_PROXY): kind = .nameResolution
    case (_, CURLE_COULDNT_CONNECT): kind = .connect
    // Our own deadline ends the whole; libcurl's time-out is the one for connecting.
    case (_, CURLE_OPERATION_TIMEDOUT): kind = observation.attempts == 0 ? .connect : .timeout
    case (_, CURLE_SSL_CONNECT_ERROR), (_, CURLE_PEER_FAILED_VERIFICATION), (_, CURLE_SSL_CACERT_BADFILE),
      (_, CURLE_SSL_CIPHER):
      kind = .tls
    case (_, CURLE_SEND_ERROR), (_, CURLE_RECV_ERROR), (_, CURLE_GOT_NOTHING), (_, CURLE_SEND_FAIL_REWIND),
      (_, CURLE_PARTIAL_FILE),
      (_, CURLE_ABORTED_BY_CALLBACK):
      kind = .connectionLost
    case (_, CURLE_HTTP2), (_, CURLE_HTTP2_STREAM), (_, CURLE_WEIRD_SERVER_REPLY), (_, CURLE_UNSUPPORTED_PROTOCOL),
      (_, CURLE_BAD_CONTENT_ENCODING):
      kind = .protocolViolation
    case (_, CURLE_WRITE_ERROR): kind = response.isMalformed ? .protocolViolation : .system
    default: kind = .system
    }
    return Failure(code: kind, message: "\(target.host): \(words) (libcurl \(code.rawValue))")
  }
}
