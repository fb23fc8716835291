import Foundation
import ServiceContracts
import Testing
import WireCodec

@testable import RPCRuntime

@Suite("The schemas that reflection tells")
struct SchemaTests {
  @Test("every file of Proto/, read by us, is byte for byte what protoc makes of it")
  func sameAsProtoc() throws {
    let expected = try Self.protoc()
    let pool = try SchemaPool(ProtoFile.builtIn + ServiceSchemas.files)
    #expect(expected.count >= 10)
    for (name, bytes) in expected { #expect(pool.files[name] == bytes, "\(name)") }
    #expect(Set(pool.files.keys).subtracting(expected.keys) == ["grpc/reflection/v1alpha/reflection.proto"])
  }

  /// Every file under Proto/ with its imports, by the compiler that comes with grpcio-tools.
  private static func protoc() throws -> [String: [UInt8]] {
    let root = WireJudge.repository.appending(path: "Proto")
    let names = try FileManager.default.subpathsOfDirectory(atPath: root.path).filter { $0.hasSuffix(".proto") }
    let output = FileManager.default.temporaryDirectory.appending(path: "schemas-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: output) }
    let process = Process()
    process.executableURL = try WireJudge.interpreter()
    process.arguments =
      ["-m", "grpc_tools.protoc", "-I\(root.path)", "--include_imports", "--descriptor_set_out=\(output.path)"]
      + names + ["google/protobuf/empty.proto"]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    var files: [String: [UInt8]] = [:]
    for bytes in try FileSet(wire: [UInt8](Data(contentsOf: output))).files {
      files[try FileName(wire: bytes).name] = bytes
    }
    return files
  }

  /// `google.protobuf.FileDescriptorSet`.
  private struct FileSet: WireMessage {
    static let wireName = "google.protobuf.FileDescriptorSet"
    var files: [[UInt8]] = []
    func encode(into w: inout WireWriter) { w.byteStrings(1, files) }
    mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      if number == 1 { try r.byteStrings(&files) } else { try r.skip() }
    }
  }

  /// The name in a `google.protobuf.FileDescriptorProto`.
  private struct FileName: WireMessage {
    static let wireName = "google.protobuf.FileDescriptorProto"
    var name = ""
    func encode(into w: inout WireWriter) { w.string(1, name) }
    mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      if number == 1 { try r.string(&name) } else { try r.skip() }
    }
  }
}
