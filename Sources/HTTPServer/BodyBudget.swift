/// How many bytes the bodies of a loop's requests hold until their handlers are done, and who gives way when those are too
/// many: the largest that is still on its way, so that what is small gets through.
final class BodyBudget {
  private let limit: Int
  private let onLimit: (String) -> Void
  private var held = 0
  /// Those that are large enough to make room.
  private var large: [ObjectIdentifier: Entry] = [:]
  private static let worthwhile = 64 << 10

  private struct Entry {
    unowned let body: HTTPRequestBody
  }

  init(_ configuration: HTTPServerConfiguration) {
    limit = configuration.maxBodyBytes
    onLimit = configuration.onLimit
  }

  /// A body holds so much more, or less. One that ends holds nothing any more.
  func changed(_ body: HTTPRequestBody, by change: Int) {
    held += change
    if body.heldBytes >= Self.worthwhile {
      large[ObjectIdentifier(body)] = Entry(body: body)
    } else if !large.isEmpty {
      large[ObjectIdentifier(body)] = nil
    }
    while held > limit, let largest = largest() {
      onLimit("request_bytes")
      largest.giveWay()
    }
  }

  private func largest() -> HTTPRequestBody? {
    large.values.map(\.body).filter(\.canGiveWay).max { $0.heldBytes < $1.heldBytes }
  }
}
