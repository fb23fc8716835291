/// A piece of work that is being done: a call on its server, an attempt of a call at its client, an HTTP request. It is
/// recorded when it ends, once, if its trace is kept.
public final class Span {
  /// Which side of an exchange the work is.
  public enum Kind: Int, Sendable {
    case `internal` = 1
    case server, client
  }

  /// What is told of it beside its name: never secrets, contents, or who it is for.
  public enum Value: Sendable, Hashable {
    case text(String)
    case number(Int)
  }

  /// A span that has ended.
  public struct Record: Sendable, Hashable {
    public let name: String
    public let kind: Kind
    public let context: TraceContext
    /// The span that this one is a part of; nil where the trace begins.
    public let parentID: UInt64?
    /// Nanoseconds since 1970.
    public let start: UInt64
    public let end: UInt64
    public let attributes: [String: Value]
    public let isError: Bool
  }

  /// What the work that it asks others for is to be a part of.
  public let context: TraceContext
  public var name: String
  public var attributes: [String: Value] = [:]
  public let kind: Kind
  let parentID: UInt64?
  private let start: UInt64
  private var tracer: Tracer?

  init(_ name: String, _ kind: Kind, _ context: TraceContext, parentID: UInt64?, start: UInt64, tracer: Tracer) {
    self.name = name
    self.kind = kind
    self.context = context
    self.parentID = parentID
    self.start = start
    self.tracer = tracer
  }

  /// The work has ended. Said again it changes nothing.
  public func end(isError: Bool = false) {
    guard let tracer else { return }
    self.tracer = nil
    guard context.isSampled else { return }
    tracer.record(
      Record(
        name: name, kind: kind, context: context, parentID: parentID, start: start, end: max(start, tracer.clock()),
        attributes: attributes, isError: isError))
  }
}
