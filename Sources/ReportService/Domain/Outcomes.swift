/// Final statuses, counted.
struct Outcomes: Hashable, Sendable {
  var success: Int64 = 0
  var failed: Int64 = 0
  var unknown: Int64 = 0

  var total: Int64 { success + failed + unknown }

  /// 0…1; nil without outcomes.
  var successRate: Double? { total == 0 ? nil : Double(success) / Double(total) }

  mutating func add(_ other: Outcomes) {
    success += other.success
    failed += other.failed
    unknown += other.unknown
  }
}
