import Glibc

/// A system call that failed: which one, and its `errno`.
public struct SystemError: Error, Sendable, Hashable, CustomStringConvertible {
  public let call: String
  public let number: Int32

  public init(_ call: String, _ number: Int32) {
    self.call = call
    self.number = number
  }

  /// Takes the number from `errno`.
  public init(_ call: String) { self.init(call, errno) }

  public var description: String { "\(call): \(String(cString: strerror(number)))" }
}

/// Calls `body` again while a signal interrupts it, and turns -1 into a `SystemError`.
@discardableResult
package func systemCall<Result: FixedWidthInteger>(
  _ name: String, _ body: () -> Result
) throws(SystemError) -> Result {
  while true {
    let result = body()
    if result != -1 { return result }
    let number = errno
    if number != EINTR { throw SystemError(name, number) }
  }
}
