/// A gRPC status code: the sixteen canonical errors and `ok`.
///
/// An open type, so that a number that this release does not know survives the way through it.
/// Spec: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
public struct StatusCode: RawRepresentable, Sendable, Hashable {
  public let rawValue: Int32

  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let ok = StatusCode(rawValue: 0)
  /// The caller gave the call up.
  public static let cancelled = StatusCode(rawValue: 1)
  public static let unknown = StatusCode(rawValue: 2)
  public static let invalidArgument = StatusCode(rawValue: 3)
  /// The time ran out; the work may have been done all the same.
  public static let deadlineExceeded = StatusCode(rawValue: 4)
  public static let notFound = StatusCode(rawValue: 5)
  public static let alreadyExists = StatusCode(rawValue: 6)
  /// The caller is known and may not do this.
  public static let permissionDenied = StatusCode(rawValue: 7)
  public static let resourceExhausted = StatusCode(rawValue: 8)
  public static let failedPrecondition = StatusCode(rawValue: 9)
  public static let aborted = StatusCode(rawValue: 10)
  public static let outOfRange = StatusCode(rawValue: 11)
  public static let unimplemented = StatusCode(rawValue: 12)
  /// A broken invariant: a bug on either side.
  public static let `internal` = StatusCode(rawValue: 13)
  /// Not now; the call may be repeated with back-off.
  public static let unavailable = StatusCode(rawValue: 14)
  public static let dataLoss = StatusCode(rawValue: 15)
  /// The caller is not known.
  public static let unauthenticated = StatusCode(rawValue: 16)

  static let names: [StaticString] = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
  ]

  /// Whether the number is one of the seventeen that the specification names.
  public var isCanonical: Bool { rawValue >= 0 && rawValue < 17 }
}

extension StatusCode: CustomStringConvertible {
  /// The name as the specification writes it, `NOT_FOUND`; an unknown number as `CODE_42`.
  public var description: String { isCanonical ? "\(Self.names[Int(rawValue)])" : "CODE_\(rawValue)" }
}

extension StatusCode {
  /// The status of a call that ended with RST_STREAM and without a status.
  ///
  /// - Parameter timeLeft: until the call's deadline. Servers cancel a call that is out of time, and may be a little
  ///   ahead of our timer: `grpc-timeout` is rounded down by up to a millisecond, and the loop wakes up to one late.
  ///
  /// Spec: gRPC over HTTP/2, "HTTP2 Transport Mapping", Errors.
  init(streamReset code: UInt32, timeLeft: Duration? = nil) {
    switch code {
    case 0x7: self = .unavailable  // REFUSED_STREAM
    case 0x8:  // CANCEL
      if let timeLeft, timeLeft <= .milliseconds(2) { self = .deadlineExceeded } else { self = .cancelled }
    case 0xb: self = .resourceExhausted  // ENHANCE_YOUR_CALM
    case 0xc: self = .permissionDenied  // INADEQUATE_SECURITY
    default: self = .internal
    }
  }

  /// The status of an answer that carries no `grpc-status`: something on the way answered in plain HTTP.
  ///
  /// Spec: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
  init(httpStatus: Int) {
    switch httpStatus {
    case 400: self = .internal
    case 401: self = .unauthenticated
    case 403: self = .permissionDenied
    case 404: self = .unimplemented
    case 429, 502, 503, 504: self = .unavailable
    default: self = .unknown
    }
  }
}
