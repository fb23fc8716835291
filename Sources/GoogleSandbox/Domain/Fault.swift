import StrictJSON

/// Something that goes wrong on purpose, for as many requests as its count says.
struct Fault: Sendable, Equatable {
  enum Route: String, Sendable, CaseIterable { case any, authorize, token, revoke, certs, send }

  let route: Route
  /// Only for requests of this account.
  let account: String?
  /// Whether the request is carried out all the same.
  let isCarriedOut: Bool
  let delay: Duration
  /// The connection is closed without an answer.
  let closes: Bool
  let status: Int?
  let reason: String?
  let message: String?
  let subtype: String?
  let retryAfter: String?
  let probability: Double
  /// Requests left; nil for no end.
  var left: Int?
  var fired = 0

  static let maxDelayMilliseconds: Int64 = 600_000

  /// `{"route", "account"?, "status"? | "close"?, "accept"?, "delay_ms"?, "reason"?, "message"?, "subtype"?, "retry_after"?, "count"?,
  /// "probability"?}`. Without a count it happens once; with `"count": 0` until it is taken away.
  init(json value: JSONValue) throws(JSONFieldErrors) {
    let fields = try JSONFields(value)
    let routes = Route.allCases.map(\.rawValue).joined(separator: ", ")
    route =
      fields.optionalString("route").flatMap { name in
        if Route(rawValue: name) == nil { fields.fail("route", "must be one of \(routes)") }
        return Route(rawValue: name)
      } ?? .any
    account = fields.optionalString("account")?.lowercased()
    status = fields.optionalInteger("status", in: 200...599).map { Int($0) }
    closes = fields.optionalBool("close") ?? false
    if closes && status != nil { fields.fail("close", "excludes status") }
    isCarriedOut = fields.optionalBool("accept") ?? (status == nil && !closes)
    if !isCarriedOut && status == nil && !closes {
      fields.fail("accept", "is false, so status or close must say what happens")
    }
    delay = .milliseconds(fields.optionalInteger("delay_ms", in: 0...Self.maxDelayMilliseconds) ?? 0)
    reason = fields.optionalString("reason")
    message = fields.optionalString("message")
    subtype = fields.optionalString("subtype")
    retryAfter = fields.optionalString("retry_after", maximumScalars: 200)
    let count = fields.optionalInteger("count", in: 0...1_000_000_000) ?? 1
    left = count == 0 ? nil : Int(count)
    let percent = fields.optional("probability") { value throws(JSONFieldProblem) -> Double in
      guard let number = value.doubleValue, (0...1).contains(number) else {
        throw JSONFieldProblem("must be from 0 to 1")
      }
      return number
    }
    probability = percent ?? 1
    try fields.finish()
  }

  func matches(_ route: Route, account: String?) -> Bool {
    (self.route == .any || self.route == route) && (self.account == nil || self.account == account) && left != 0
  }
}

/// The faults in the order in which they were asked for; the first that matches a request happens to it.
struct FaultPlan {
  private(set) var faults: [(id: Int, fault: Fault)] = []
  private var lastID = 0

  var isEmpty: Bool { faults.isEmpty }

  mutating func add(_ fault: Fault) -> Int {
    lastID += 1
    faults.append((lastID, fault))
    return lastID
  }

  /// - Parameter dice: a number from 0 up to 1, drawn for a fault with a probability.
  mutating func fault(for route: Fault.Route, account: String?, dice: () -> Double) -> Fault? {
    for index in faults.indices where faults[index].fault.matches(route, account: account) {
      let fault = faults[index].fault
      if fault.probability < 1, dice() >= fault.probability { continue }
      faults[index].fault.fired += 1
      if let left = fault.left { faults[index].fault.left = left - 1 }
      return fault
    }
    return nil
  }

  mutating func remove(_ id: Int) -> Bool {
    let count = faults.count
    faults.removeAll { $0.id == id }
    return faults.count < count
  }

  mutating func clear() { faults = [] }
}
