import Glibc
import Synchronization

/// Makes spans and keeps those that have ended until somebody takes them away. One a process; any thread may use it.
///
/// `ServerConfiguration.tracer` and `ChannelConfiguration.tracer` give each call on the server, and each attempt at the
/// client, a span of its own: a child of the caller's (`traceparent`), or of the handler's that makes the call
/// (`CallScope`), or the first of a new trace. Health checks and reflection (`grpc.*`) have none.
public final class Tracer: Sendable {
  private struct State {
    var ended: [Span.Record] = []
    var dropped = 0
  }

  private let sampler: TraceSampler
  private let limit: Int
  let clock: @Sendable () -> UInt64
  private let random: @Sendable () -> UInt64
  private let state = Mutex(State())

  /// - Parameters:
  ///   - limit: how many ended spans are kept; more are dropped, and counted.
  ///   - clock: nanoseconds since 1970.
  public init(
    _ sampler: TraceSampler = TraceSampler(), limit: Int = 2048,
    clock: @escaping @Sendable () -> UInt64 = Tracer.systemClock,
    random: @escaping @Sendable () -> UInt64 = { .random(in: 1 ... .max) }
  ) {
    self.sampler = sampler
    self.limit = limit
    self.clock = clock
    self.random = random
  }

  /// The system's clock, which other hosts share.
  public static let systemClock: @Sendable () -> UInt64 = {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Begins a span.
  ///
  /// - Parameter parent: nil: a new trace.
  public func start(_ name: String, _ kind: Span.Kind, parent: TraceContext?) -> Span {
    let traceID = parent?.traceID ?? UInt128(random()) << 64 | UInt128(random())
    let context = TraceContext(
      traceID: traceID, spanID: random(), isSampled: sampler.keeps(traceID, parent: parent))
    return Span(name, kind, context, parentID: parent?.spanID, start: clock(), tracer: self)
  }

  func record(_ span: Span.Record) {
    state.withLock { state in
      if state.ended.count < limit { state.ended.append(span) } else { state.dropped += 1 }
    }
  }

  /// Ended spans, the oldest first, which are forgotten here.
  public func take(atMost count: Int) -> [Span.Record] {
    state.withLock { state in
      let taken = Array(state.ended.prefix(count))
      state.ended.removeFirst(taken.count)
      return taken
    }
  }

  /// How many wait to be taken.
  public var endedCount: Int { state.withLock { $0.ended.count } }

  /// How many spans were dropped since this was asked last, because nobody took them.
  public func takeDroppedCount() -> Int {
    state.withLock { state in
      defer { state.dropped = 0 }
      return state.dropped
    }
  }
}

// MARK: Calls

extension Tracer {
  /// Begins the span of a call or an attempt, by OpenTelemetry's conventions for RPC; nil for those that have none.
  func start(_ method: MethodDescriptor, _ kind: Span.Kind, parent: TraceContext?) -> Span? {
    guard !method.service.hasPrefix("grpc.") else { return nil }
    let span = start(method.fullName, kind, parent: parent)
    if span.context.isSampled {
      span.attributes = [
        "rpc.system": .text("grpc"), "rpc.service": .text(method.service), "rpc.method": .text(method.name),
      ]
    }
    return span
  }
}

extension Span {
  func end(_ code: StatusCode) {
    if context.isSampled { attributes["rpc.grpc.status_code"] = .number(Int(code.rawValue)) }
    end(isError: kind == .server ? code.isServersFault : code != .ok)
  }
}

extension StatusCode {
  /// Whether an answer says that the server failed, not that its caller did.
  var isServersFault: Bool {
    switch self {
    case .unknown, .deadlineExceeded, .unimplemented, .internal, .unavailable, .dataLoss: true
    default: !isCanonical
    }
  }
}
