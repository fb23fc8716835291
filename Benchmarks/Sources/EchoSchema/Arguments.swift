import Glibc

/// `--name value …` of a command line. Where it is not what the program takes, the process ends and says so.
public struct Arguments {
  private let program: String
  private let words: [String]

  /// - Parameter usage: one line, which names every option there is.
  public init(of program: String, usage: String, _ words: [String] = Array(CommandLine.arguments.dropFirst())) {
    self.program = program
    self.words = words
    let known = usage.split { !($0.isLetter || $0 == "-") }.filter { $0.hasPrefix("--") }
    for (index, word) in words.enumerated() where word.hasPrefix("--") || index == 0 {
      guard !known.contains(Substring(word)) else { continue }
      print("usage: \(program) \(usage)")
      exit(word == "--help" ? 0 : 2)
    }
  }

  /// The values that follow a name.
  public func values(_ name: String) -> [String] {
    guard let index = words.firstIndex(of: "--\(name)") else { return [] }
    let values = Array(words[(index + 1)...].prefix { !$0.hasPrefix("--") })
    if values.isEmpty { fail("--\(name) needs a value") }
    return values
  }

  public subscript(_ name: String) -> String? { values(name).first }

  public func number(_ name: String, default value: Int, in range: ClosedRange<Int>) -> Int {
    guard let text = self[name] else { return value }
    guard let number = Int(text), range.contains(number) else {
      fail("--\(name) is a number from \(range.lowerBound) to \(range.upperBound), not \(text)")
    }
    return number
  }

  public func fail(_ reason: String) -> Never {
    print("\(program): \(reason)")
    exit(2)
  }
}
