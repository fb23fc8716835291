import InteropSchema
import RPCRuntime

/// One case of the official description.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
struct InteropCase: Sendable {
  let name: String
  /// Throws when the case does not hold.
  let run: @Sendable (RPCChannel) async throws -> Void

  init(_ name: String, _ run: @escaping @Sendable (RPCChannel) async throws -> Void) {
    self.name = name
    self.run = run
  }
}

enum InteropCases {
  static var all: [InteropCase] { unary + streaming + status + cancellation + compression }
  /// By the name that a command line gives.
  static func named(_ name: String) -> InteropCase? { (all + chaos).first { $0.name == name } }
}

/// What does not hold.
struct CaseFailure: Error, CustomStringConvertible {
  let description: String
}

func expect(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws {
  if !condition { throw CaseFailure(description: otherwise()) }
}

/// Runs what has to fail, and gives the error.
func failure(of what: String, _ body: () async throws -> Void) async throws -> RPCError {
  do {
    try await body()
  } catch let error as RPCError {
    return error
  }
  throw CaseFailure(description: "\(what) was to fail, and did not")
}

func expectPayload(_ payload: Payload?, size: Int32) throws {
  try expect(payload != nil, "the response has no payload")
  try expect(payload?.type == .compressable, "the payload's type is not COMPRESSABLE")
  try expect(payload?.body.count == Int(size), "\(payload?.body.count ?? 0) bytes instead of \(size)")
  try expect(payload?.body.allSatisfy { $0 == 0 } == true, "the payload is not all zeros")
}
