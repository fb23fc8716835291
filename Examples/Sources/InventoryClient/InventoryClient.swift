import EventLoop
import Glibc
import InventorySchema
import RPCRuntime
import WireCodec

/// Moves pieces and lists what is there: `inventory-client [TARGET [ARTICLE PIECES]…]`, for instance
/// `inventory-client dns:///localhost:7000 apples 5 pears 3 apples -2`.
@main
enum InventoryClient {
  static func main() async {
    do { try await run(Array(CommandLine.arguments.dropFirst())) } catch {
      print("inventory-client: \(error)"); exit(1)
    }
  }

  static func run(_ words: [String]) async throws {
    let target = try ChannelTarget(words.first ?? "dns:///localhost:7000")
    let loop = try EventLoop.start(name: "client")
    try await loop.run { reactor in
      let channel = RPCChannel(to: target, on: reactor)
      defer { channel.close() }
      let options = CallOptions(timeout: .seconds(5), waitForReady: true)
      for index in stride(from: 1, to: words.count - 1, by: 2) {
        let request = MoveRequest { ($0.article, $0.pieces) = (words[index], Int64(words[index + 1]) ?? 0) }
        do {
          let stock = try await channel.call(Inventory.move, request, options: options)
          print("\(stock.article): now \(stock.pieces)")
        } catch let error as RPCError {
          print("\(request.article): \(error.message) (\(error.code), \(error.errorInfo?.reason ?? "no reason"))")
        }
      }
      for try await stock in try channel.call(Inventory.list, ListRequest(), options: options) {
        print("\(stock.article) \(stock.pieces)")
      }
    }
    await loop.shutdown()
  }
}
