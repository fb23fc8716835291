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
  static func main() async {
    let health = HealthRegistry(services: [Inventory.service]); health.setAll(.serving)
    let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:7000"
    do {
      try await RPCServer.run(on: EventLoopGroup(), listen: address) {
        print("listening on \($0)"); fflush(nil)
      } build: { server in
        server.handle(Inventory.move) { request, _ in
          try shelf.withLock { shelf throws(RPCError) in
            let left = shelf[request.article, default: 0] + request.pieces
            guard left >= 0 else {
              throw RPCError(.failedPrecondition, reason: "out_of_stock", domain: "inventory", "There are not as many.")
            }
            shelf[request.article] = left
            return Stock { ($0.article, $0.pieces) = (request.article, left) }
          }
        }
        server.handle(Inventory.list) { request, replies, _ in
          for (article, pieces) in shelf.withLock({ $0 }).sorted(by: <) where article.hasPrefix(request.prefix) {
            try await replies.write(Stock { ($0.article, $0.pieces) = (article, pieces) })  // waits for a slow reader
          }
        }
        server.serveHealth(of: health)
        try server.serveReflection(of: [Inventory.schema])
      }
    } catch { print("inventory-server: \(error)"); exit(1) }
  }
}
