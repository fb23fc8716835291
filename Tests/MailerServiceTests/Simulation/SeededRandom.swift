import TestSupport

extension SeededRandom {
  /// For seeds that follow each other.
  init(spread seed: UInt64) { self.init(seed: seed &* 0x9E37_79B9_7F4A_7C15 ^ 0x5DEE_CE66_D1CE_4E5B) }

  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  mutating func chance(_ probability: Double) -> Bool { unit() < probability }

  /// Nanoseconds between two numbers of seconds.
  mutating func seconds(_ low: Double, _ high: Double) -> Int64 { Int64((low + (high - low) * unit()) * 1e9) }
}
