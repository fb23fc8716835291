/// Which sides of a call send more than one message.
public enum MethodKind: Sendable, Hashable {
  case unary, clientStreaming, serverStreaming, bidirectional
}

/// A method's name on the wire: `/package.Service/Method`. Made once, as a static constant, and kept for ever.
public final class MethodDescriptor: Sendable {
  /// `package.Service`.
  public let service: String
  /// The method's own name, `GetProfile`.
  public let name: String
  public let kind: MethodKind
  /// Whether a call may run several times at once and do no harm: what hedging asks for.
  public let isSafe: Bool
  /// `/package.Service/Method`.
  public let path: String
  /// `package.Service/Method`: the label of metrics and logs.
  public let fullName: String
  let pathBytes: [UInt8]

  public init(service: String, name: String, kind: MethodKind, isSafe: Bool = false) {
    self.service = service
    self.name = name
    self.kind = kind
    self.isSafe = isSafe
    fullName = "\(service)/\(name)"
    path = "/\(service)/\(name)"
    pathBytes = Array(path.utf8)
  }

  var mayHedge: Bool { kind == .unary && isSafe }
}

extension MethodDescriptor: CustomStringConvertible {
  public var description: String { fullName }
}
