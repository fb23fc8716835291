import CivilTime
import Testing

@Suite("Unique ids")
struct UniqueIDTests {
  static let now = Timestamp(microseconds: 1_795_305_600_123_000)

  @Test("An id made here is of version 7: it shows its time and sorts by it")
  func versionSeven() {
    let first = UniqueID(at: Self.now, random: (.max, .max))
    let second = UniqueID(at: Self.now + .milliseconds(1), random: (0, 0))
    #expect(first < second)
    #expect(first.time == Self.now)
    #expect(Array(first.description)[14] == "7")
    #expect("89ab".contains(Array(first.description)[19]))
  }

  @Test("Ids are ordered by their bytes")
  func order() {
    #expect(UniqueID(high: 1, low: .max) < UniqueID(high: 2, low: 0))
    #expect(UniqueID(high: 1, low: 0) < UniqueID(high: 1, low: 1))
  }

  @Test("An id is written in lower case, and read in either; no other text is an id")
  func text() {
    let id = UniqueID(high: 0x0193_514e_7a3b_7c01, low: 0x8000_0123_4567_89ab)
    let text = "0193514e-7a3b-7c01-8000-0123456789ab"
    #expect(id.description == text)
    #expect(UniqueID(text) == id)
    #expect(UniqueID(text.uppercased()) == id)
    #expect(UniqueID(text.dropLast()) == nil)
    #expect(UniqueID("\(text)0") == nil)
    #expect(UniqueID("g" + text.dropFirst()) == nil)
    #expect(UniqueID(text.replacing("-", with: "0")) == nil)
  }

  @Test("Sixteen bytes are an id, and no other number of them")
  func bytes() {
    let bytes: [UInt8] = Array(0...16)
    for count in bytes.indices {
      let id = bytes.prefix(count).withUnsafeBytes { UniqueID(bytes: $0) }
      #expect(id == (count == 16 ? UniqueID(high: 0x0001_0203_0405_0607, low: 0x0809_0a0b_0c0d_0e0f) : nil))
    }
  }
}
