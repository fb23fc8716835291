import Testing

@testable import HTTPSClient

struct StreamNotesTests {
  private func isUnprocessed(_ lines: String...) -> Bool {
    var notes = StreamNotes()
    for line in lines { Array(line.utf8).withUnsafeBytes { notes.take($0) } }
    return notes.isUnprocessed
  }

  @Test("A GOAWAY counts for streams above its last one", arguments: [(1, 3, true), (3, 3, false), (5, 3, false)])
  func goaway(_ last: Int, _ stream: Int, _ expected: Bool) {
    let own = "Using Stream ID: \(stream) (easy handle 0x55d0c3)\n"
    #expect(isUnprocessed(own, "recveived GOAWAY, error=0, last_stream=\(last)\n") == expected)
    #expect(isUnprocessed(own, "received GOAWAY, error=0, last_stream=\(last)") == expected)
  }

  @Test("A graceful GOAWAY's first step covers every stream, its second one counts")
  func graceful() {
    let own = "Using Stream ID: 7 (easy handle 0x1)"
    let first = "recveived GOAWAY, error=0, last_stream=2147483647"
    #expect(!isUnprocessed(own, first))
    #expect(isUnprocessed(own, first, "recveived GOAWAY, error=0, last_stream=5"))
  }

  @Test("A refused stream is unprocessed; other words, cut or strange, say nothing")
  func words() {
    #expect(isUnprocessed("REFUSED_STREAM, retrying a fresh connect\n"))
    #expect(
      !isUnprocessed("Connection died, retrying a fresh connect (retry count: 1)", "Using Stream ID: ", "", "rec"))
    #expect(!isUnprocessed("Using Stream ID: 3", "recveived GOAWAY, error=0, last_stream="))
    #expect(!isUnprocessed("recveived GOAWAY, error=0, last_stream=1"))
    // A header that a server sends is commentary of another kind; even so it must not begin like this.
    #expect(!isUnprocessed("Using Stream ID: 3", "x-evil: received GOAWAY, error=0, last_stream=1"))
  }
}
