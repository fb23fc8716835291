import Foundation
import ServiceKit
import Testing

@Suite("Where log lines go")
struct LogWriterTests {
  /// Fills a pipe, so that whoever writes to it waits until somebody reads; gives what it holds.
  private static func fill(_ descriptor: Int32) -> Int {
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    let page = [UInt8](repeating: UInt8(ascii: "-"), count: 4096)
    var count = 0
    while true {
      let written = Glibc.write(descriptor, page, page.count)
      if written <= 0 { break }
      count += written
    }
    return count
  }

  @Test("While nobody reads, lines wait up to the limit, what is beyond it is dropped and counted, and no line is torn")
  func limit() {
    let pipe = Pipe()
    let filled = Self.fill(pipe.fileHandleForWriting.fileDescriptor)
    let writer = LogWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor, limit: 10)
    for number in 1000..<1100 { writer.write(Array("\(number)\n".utf8)) }
    // Two wait, and the writing thread may have as many in hand.
    let taken = 100 - writer.droppedLines
    #expect((2...4).contains(taken))
    let reading = pipe.fileHandleForReading
    var skipped = 0
    while skipped < filled { skipped += reading.readData(ofLength: filled - skipped).count }
    writer.flush()
    writer.write(Array("last\n".utf8))
    var text = ""
    while !text.hasSuffix("last\n") { text += String(decoding: reading.availableData, as: UTF8.self) }
    let lines = text.split(separator: "\n").map(String.init)
    let numbers = lines.dropLast().compactMap { Int($0) }
    #expect(numbers.count == taken && lines.count == taken + 1)
    #expect(numbers == numbers.sorted() && numbers.allSatisfy { (1000..<1100).contains($0) })
  }

  /// They vanished, and the figure said that none had.
  @Test("Lines that cannot be written are counted", arguments: ["a full disk", "a reader that has gone"])
  func unwritable(where: String) {
    signal(SIGPIPE, SIG_IGN)
    let pipe = Pipe()
    try? pipe.fileHandleForReading.close()
    let disk = open("/dev/full", O_WRONLY)
    defer { close(disk) }
    let writer = LogWriter(descriptor: `where` == "a full disk" ? disk : pipe.fileHandleForWriting.fileDescriptor)
    for _ in 0..<3 { writer.write(Array("a\n".utf8)) }
    writer.flush()
    #expect(writer.droppedLines == 3)
  }

  @Test("A line as long as the limit is taken, a longer one is not", arguments: [64, 65])
  func longest(length: Int) {
    let pipe = Pipe()
    let writer = LogWriter(descriptor: pipe.fileHandleForWriting.fileDescriptor, limit: 64)
    writer.write([UInt8](repeating: UInt8(ascii: "a"), count: length - 1) + [0x0A])
    #expect(writer.droppedLines == (length == 64 ? 0 : 1))
    writer.flush()
  }
}
