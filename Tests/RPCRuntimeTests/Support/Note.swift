import RPCRuntime
import WireCodec

/// The message that the tests send.
struct Note: WireMessage, Equatable {
  static let wireName = "test.Note"

  var text = ""
  var number: Int64 = 0
  var data: [UInt8] = []

  init() {}

  init(_ text: String, number: Int64 = 0, data: [UInt8] = []) {
    self.text = text
    self.number = number
    self.data = data
  }

  var encodedSizeHint: Int { data.count + text.utf8.count + 16 }

  func encode(into w: inout WireWriter) {
    w.string(1, text)
    w.int64(2, number)
    w.bytes(3, data)
  }

  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&text)
    case 2: try r.int64(&self.number)
    case 3: try r.bytes(&data)
    default: try r.skip()
    }
  }
}

/// The methods that the tests call.
enum Notes {
  static let echo = UnaryMethod<Note, Note>("test.Notes", "Echo", isSafe: true)
  static let count = ServerStreamingMethod<Note, Note>("test.Notes", "Count")
  static let join = ClientStreamingMethod<Note, Note>("test.Notes", "Join")
  static let chat = BidirectionalMethod<Note, Note>("test.Notes", "Chat")
  static let missing = UnaryMethod<Note, Note>("test.Notes", "Missing")
}
