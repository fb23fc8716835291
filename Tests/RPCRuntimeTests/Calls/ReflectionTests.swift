import RPCRuntime
import TestSupport
import Testing
import WireCodec

@Suite("Reflection", .timeLimit(.minutes(1)))
struct ReflectionTests {
  static let noteFile = ProtoFile(
    builtIn: "test/note.proto",
    source: Array(
      """
      // The messages of the tests.
      syntax = "proto3";
      package test;
      import "google/protobuf/empty.proto";
      message Note { string text = 1; int64 number = 2; bytes data = 3; }
      service Notes {
        rpc Echo(Note) returns (Note);
        rpc Count(Note) returns (stream Note);
        rpc Join(stream Note) returns (Note) {}
        rpc Chat(stream Note) returns (stream .test.Note);
        rpc Forget(google.protobuf.Empty) returns (google.protobuf.Empty);
      }
      """.utf8))

  @Test("Services are listed, files are found by name and by symbol, and sent once a call")
  func questions() async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, _ in request }
      try $0.serveReflection(of: [Self.noteFile])
    } _: { channel, _ in
      for method in [Reflection.serverReflectionInfo, Reflection.alphaServerReflectionInfo] {
        let call = try channel.call(method)
        func ask(_ question: Reflection.Request.MessageRequest) async throws -> Reflection.Response.MessageResponse? {
          try await call.write(Reflection.Request { $0.messageRequest = question })
          return try await call.responses.next()?.messageResponse
        }
        guard case .listServicesResponse(let list) = try await ask(.listServices("*")) else {
          Issue.record("no list")
          return
        }
        #expect(
          list.service.map(\.name) == [
            "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "test.Notes",
          ])
        var counts: [Int] = []
        for symbol in ["test.Notes", "test.Notes.Echo", "test.Note.text", "google.protobuf.Empty"] {
          guard case .fileDescriptorResponse(let files) = try await ask(.fileContainingSymbol(symbol)) else {
            Issue.record("no file for \(symbol)")
            return
          }
          counts.append(files.fileDescriptorProto.count)
        }
        #expect(counts == [2, 1, 1, 1])
        guard case .fileDescriptorResponse = try await ask(.fileByFilename("grpc/health/v1/health.proto")) else {
          Issue.record("no file by name")
          return
        }
        for question: Reflection.Request.MessageRequest in [
          .fileByFilename("nowhere.proto"), .fileContainingSymbol("test.Nobody"),
          .allExtensionNumbersOfType("test.Nobody"),
          .fileContainingExtension(Reflection.ExtensionRequest()),
        ] {
          guard case .errorResponse(let error) = try await ask(question) else {
            Issue.record("no error")
            return
          }
          #expect(error.errorCode == StatusCode.notFound.rawValue)
        }
        let numbers = try await ask(.allExtensionNumbersOfType("test.Note"))
        #expect(
          numbers == .allExtensionNumbersResponse(Reflection.ExtensionNumberResponse { $0.baseTypeName = "test.Note" }))
        call.finishWriting()
        let end = try await call.responses.next()
        #expect(end == nil)
      }
    }
  }

  @Test(
    "What is wrong with a file is said with its line",
    arguments: [
      ("syntax = \"proto2\";", 1), ("syntax = \"proto3\";\nmessage A {", 2), ("syntax = \"proto3\";\n\nmessage {}", 3),
      ("syntax = \"proto3\";\nmessage A { string a = 0; }", 2), ("syntax = \"proto3\"; /* no end", 1),
      ("syntax = \"proto3\";\noption go_package = \"no end;\n", 2), ("", 1), ("syntax = \"proto3\"; extend A {}", 1),
      ("syntax = \"proto3\";\nservice A { rpc B(C) gives (D); }", 2),
    ])
  func syntax(text: String, line: Int) {
    let error = #expect(throws: ProtoSyntaxError.self) { try ProtoFile(name: "a.proto", source: Array(text.utf8)) }
    #expect(error?.line == line)
  }

  @Test("An import or a type that is missing, and a name that is there twice, are refused")
  func names() async throws {
    func file(_ name: String, _ text: String) throws -> ProtoFile {
      try ProtoFile(name: name, source: Array("syntax = \"proto3\"; \(text)".utf8))
    }
    let cases: [([ProtoFile], StatusCode)] = [
      ([try file("a.proto", "import \"b.proto\";")], .notFound),
      ([try file("a.proto", "message A { B b = 1; }")], .notFound),
      ([try file("a.proto", "message A {}"), try file("b.proto", "message A {}")], .alreadyExists),
      ([try file("a.proto", ""), try file("a.proto", "")], .alreadyExists),
    ]
    try await onLoop { reactor in
      for (files, code) in cases {
        let error = await failure { try RPCServer(on: reactor).serveReflection(of: files) }
        #expect(error?.code == code)
      }
    }
  }
}
