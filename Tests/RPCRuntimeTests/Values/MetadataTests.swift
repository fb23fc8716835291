import RPCRuntime
import Testing

@Suite("Metadata")
struct MetadataTests {
  @Test(
    "Names are lower-case ASCII, not empty, not the protocol's",
    arguments: [
      "", "X-Id", "a b", "é", "grpc-timeout", "te", "content-type", "user-agent", ":path", "host", "connection",
    ])
  func badNames(name: String) {
    #expect(Metadata.Name(name) == nil)
  }

  @Test("Allowed names", arguments: ["a", "x-request-id", "trace_id", "v1.2", "key-bin", "-bin"])
  func goodNames(name: String) {
    #expect(Metadata.Name(name)?.rawValue == name)
  }

  @Test("Bytes go under -bin names, printable ASCII under the others")
  func kinds() {
    var metadata = Metadata()
    #expect(throws: MetadataError.notText("k-bin")) { try metadata.append("k-bin", "text") }
    #expect(throws: MetadataError.notBinary("k")) { try metadata.append("k", binary: [1]) }
    #expect(throws: MetadataError.unprintable("k")) { try metadata.append("k", "a\nb") }
    #expect(throws: MetadataError.unprintable("k")) { try metadata.append("k", "é") }
    #expect(metadata.isEmpty)
  }

  @Test("The size counts names, encoded values and 32 bytes an entry")
  func size() {
    let metadata: Metadata = ["ab": "cde", "k-bin": .binary([1, 2, 3, 4])]
    #expect(metadata.encodedSize == (2 + 3 + 32) + (5 + 6 + 32))
  }

  @Test("A description names no values")
  func description() {
    let metadata: Metadata = ["authorization": "secret"]
    #expect("\(metadata)" == "[authorization]")
  }
}
