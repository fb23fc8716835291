import EventLoop
import Glibc
import InventorySchema
import RPCRuntime
import Synchronization
import WireCodec

/// Serves `inventory.v1.Inventory` until SIGTERM: `inventory-server [HOST:PORT]`.
@main
enum InventoryServer {
  /// Every loop has a server of its own, and connections are spread over them: what they share is behind a lock.
  static let shelf = Mutex<[String: Int64]>([:])

  static func main() async throws {
    let health = HealthRegistry(services: [Inventory.service])
    health.setAll(.serving)
    try await RPCServer.run(
      on: try EventLoopGroup(), listen: CommandLine.arguments.dropFirst().first ?? "127.0.0.1:7000",
      started: {
        print("listening on \($0)"); fflush(nil)
      }
    ) { server in
      server.handle(Inventory.move) { request, _ in
        let left = try shelf.withLock { shelf throws(RPCError) in
          let left = shelf[request.article, default: 0] + request.pieces
          guard left >= 0 else {
            throw RPCError(.failedPrecondition, reason: "out_of_stock", domain: "inventory", "There are not as many.")
          }
          shelf[request.article] = left
          return left
        }
        return Stock { ($0.article, $0.pieces) = (request.article, left) }
      }
      server.handle(Inventory.list) { request, replies, _ in
        for (article, pieces) in shelf.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
          guard article.hasPrefix(request.prefix) else { continue }
          try await replies.write(Stock { ($0.article, $0.pieces) = (article, pieces) })  // waits for a slow reader
        }
      }
      server.serveHealth(of: health)
      try server.serveReflection(of: [Inventory.schema])
    }
  }
}
