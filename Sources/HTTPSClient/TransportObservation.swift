/// What the transport itself saw of one request, so that a caller can tell a request that never left from one whose outcome nobody knows.
///
/// libcurl asks for the body only once the connection stands and the request's head is on its way. A request whose body was never asked for
/// cannot have been accepted by the server; one whose body was asked for may have been, whatever went wrong afterwards.
package struct TransportObservation: Sendable, Equatable {
  /// What a request's fate can be, judged from the transport alone.
  package enum Delivery: Sendable, Equatable {
    /// The server cannot have the whole request: it may be sent again.
    case notSent
    /// The server said that it did not process the request (HTTP/2 REFUSED_STREAM, or a GOAWAY below its stream): it may be sent again.
    case notProcessed
    /// The server may or may not have acted on it.
    case unknown
    /// A final response head arrived. (Its body may still have failed.)
    case answered
  }

  /// How many bytes the body has.
  package var bodyBytes = 0
  /// How many bytes of the body libcurl took. They may or may not have left this machine.
  package var bodyBytesHandedOver = 0
  /// Whether libcurl ever asked for the body.
  package var bodyWasAskedFor = false
  /// How often a connection was ready for this request. More than one means that libcurl repeated it before any body byte was taken.
  package var attempts = 0
  /// Whether the (last) connection had served another request before.
  package var connectionWasReused = false
  /// Whether the server refused the stream unprocessed.
  package var refusedUnprocessed = false
  /// The status of the final response head, if one arrived.
  package var status: Int?

  package init() {}

  /// The verdict.
  package var delivery: Delivery {
    if status != nil { return .answered }
    if refusedUnprocessed { return .notProcessed }
    if attempts == 0 { return .notSent }
    if bodyBytes > 0 && !bodyWasAskedFor { return .notSent }
    return .unknown
  }
}
