import EventLoop
import HTTP2Session

/// What a request's header fields say to the protocol, and whether it is a call at all.
struct RequestHead {
  var path = UnsafeRawBufferPointer(start: nil, count: 0)
  var timeout: Duration?
  /// Of the request's messages.
  var encoding = MessageEncoding.identity
  /// Whether the answer's messages may be compressed.
  var acceptsGzip = false
  /// How many fields are the user's: none means that there is no metadata to parse.
  var metadataCount = 0
  /// Names, values and 32 bytes a field, in bytes, of the user's fields.
  var metadataSize = 0

  enum Fault: Error, Equatable {
    /// Not gRPC at all: answered in HTTP.
    case http(Int)
    /// gRPC, and wrong: answered with a status.
    case status(StatusCode, String)
    /// An encoding that we do not have.
    case encoding
  }

  /// Spec: gRPC over HTTP/2, "Requests"; statuscodes.md for what is wrong with what.
  init(_ block: HTTP2HeaderBlock) throws(Fault) {
    var isPost = false
    var isGRPC = false
    var fault: Fault?
    for index in 0..<block.count {
      let (name, value) = block.field(index)
      // By its length first: few names are compared with anything, and those with little else than what they are.
      switch name.count {
      case 5 where name.equals(":path"): path = value
      case 7 where name.equals(":method"): isPost = value.equals("POST")
      case 12 where name.equals("content-type"): isGRPC = Self.isGRPC(value)
      case 12 where name.equals("grpc-timeout"):
        timeout = TimeoutHeader.parse(value)
        if timeout == nil { fault = .status(.internal, "grpc-timeout is malformed") }
      case 13 where name.equals("grpc-encoding"):
        if let known = MessageEncoding(value) { encoding = known } else { fault = .encoding }
      case 20 where name.equals("grpc-accept-encoding"):
        acceptsGzip = acceptsGzip || MessageEncoding.listsGzip(value)
      default:
        if !Metadata.Name.isReserved(name) {
          metadataCount += 1
          metadataSize += name.count + value.count + 32
        }
      }
    }
    guard isPost else { throw .http(405) }
    guard isGRPC else { throw .http(415) }
    if let fault { throw fault }
  }

  /// `application/grpc`, also with `+proto` or parameters; not `application/grpc-web`, not another codec.
  static func isGRPC(_ type: UnsafeRawBufferPointer) -> Bool {
    let prefix = "application/grpc" as StaticString
    let count = prefix.utf8CodeUnitCount
    guard type.count >= count, UnsafeRawBufferPointer(start: type.baseAddress, count: count).equals(prefix)
    else { return false }
    let rest = UnsafeRawBufferPointer(start: type.baseAddress! + count, count: type.count - count)
    if rest.isEmpty || rest[0] == UInt8(ascii: ";") { return true }
    return rest.equals("+proto") || rest.starts(with: "+proto;".utf8)
  }
}
