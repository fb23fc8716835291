// bench.Echo on grpc-swift-2. The message goes back as it came, undecoded: what is measured is the runtime alone, in the
// peer's favour. Usage: swift-peer PORT
import GRPCCore
import GRPCNIOTransportHTTP2Posix

struct Bytes: MessageSerializer, MessageDeserializer {
  func serialize<Buffer: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Buffer { Buffer(message) }

  func deserialize<Buffer: GRPCContiguousBytes>(_ bytes: Buffer) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

struct Echo: RegistrableRPCService {
  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: MethodDescriptor(fullyQualifiedService: "bench.Echo", method: "Echo"),
      deserializer: Bytes(), serializer: Bytes()
    ) { request, _ in
      var message: [UInt8] = []
      for try await next in request.messages { message = next }
      return StreamingServerResponse(single: ServerResponse(message: message))
    }
  }
}

let port = Int(CommandLine.arguments[1])!
let server = GRPCServer(
  transport: .http2NIOPosix(address: .ipv4(host: "127.0.0.1", port: port), transportSecurity: .plaintext),
  services: [Echo()])
try await server.serve()
