import Glibc

// The entry points that libFuzzer's own `main` calls. The environment's FUZZ_TARGET chooses the target: unlike an
// argument it reaches the processes that libFuzzer starts to merge and to minimise. See script/fuzz.

/// Set once, before the first input: libFuzzer's callback takes nothing along.
nonisolated(unsafe) private var chosen = FuzzTarget.messages

@_cdecl("LLVMFuzzerInitialize")
public func initialize(
  _ argumentCount: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>
) -> Int32 {
  guard let name = getenv("FUZZ_TARGET").map({ String(cString: $0) }) else {
    print(FuzzTarget.all.map(\.name).joined(separator: "\n"))
    exit(0)
  }
  guard let target = (FuzzTarget.all + FuzzTarget.broken).first(where: { $0.name == name }) else {
    print("fuzz: no target \(name)")
    exit(2)
  }
  chosen = target
  return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  do {
    try chosen.run(UnsafeRawBufferPointer(start: bytes, count: count))
  } catch {
    fatalError("\(chosen.name): \(error)")
  }
  return 0
}
