import StrictJSON

/// `loadBalancingConfig`: the first policy of the list that is known here counts.
struct BalancingJSON {
  var policy: LoadBalancingPolicy
  var outliers: OutlierDetection?

  private static let known = [
    "pick_first", "round_robin", "least_request_experimental", "outlier_detection_experimental",
  ]
  /// More policies to choose from are a mistake.
  private static let maximumPolicies = 32

  /// What a whole service config says; nil when it says nothing.
  static func read(_ fields: JSONFields) -> BalancingJSON? {
    // Deprecated by `loadBalancingConfig`, and still what many configs have.
    let word = fields.optionalString("loadBalancingPolicy")
    if fields.has("loadBalancingConfig") { return list(fields, "loadBalancingConfig") }
    switch word?.uppercased() {
    case nil: return nil
    case "PICK_FIRST": return BalancingJSON(policy: .pickFirst)
    case "ROUND_ROBIN": return BalancingJSON(policy: .roundRobin)
    default:
      fields.fail("loadBalancingPolicy", "must be pick_first or round_robin")
      return nil
    }
  }

  private static func list(_ fields: JSONFields, _ name: String, isInner: Bool = false) -> BalancingJSON? {
    for (path, value) in fields.elements(name, maximumCount: maximumPolicies) {
      guard let object = value.objectValue, object.count == 1, let policy = object.members.first?.name else {
        fields.failAt(path, "must be an object with exactly one policy")
        return nil
      }
      guard known.contains(policy) else { continue }
      guard let element = fields.fields(value, at: path) else { return nil }
      guard let configuration = element.optionalObject(policy) else {
        element.fail(policy, "must be an object")
        return nil
      }
      return read(policy, configuration, element, isInner: isInner)
    }
    fields.fail(name, "names no policy that is known here: \(known.joined(separator: ", "))")
    return nil
  }

  private static func read(
    _ policy: String, _ fields: JSONFields, _ parent: JSONFields, isInner: Bool
  ) -> BalancingJSON? {
    switch policy {
    case "pick_first":
      if fields.optionalBool("shuffleAddressList") == true {
        fields.fail("shuffleAddressList", "is not available: the resolver's order is kept, the families in turn")
      }
      return BalancingJSON(policy: .pickFirst)
    case "round_robin": return BalancingJSON(policy: .roundRobin)
    case "least_request_experimental":
      let choices = fields.optional("choiceCount", JSONUInt32.attempts)
      return BalancingJSON(policy: .leastRequest(choices: choices ?? 2))
    default:
      guard !isInner else {
        parent.fail(policy, "cannot stand inside itself")
        return nil
      }
      let outliers = outlierDetection(fields)
      _ = fields.required("childPolicy")
      guard let child = list(fields, "childPolicy", isInner: true) else { return nil }
      return BalancingJSON(policy: child.policy, outliers: outliers)
    }
  }

  /// Proposal A50; `consecutiveFailures` is ours.
  private static func outlierDetection(_ fields: JSONFields) -> OutlierDetection {
    var detection = OutlierDetection()
    let base = fields.optional("baseEjectionTime", JSONDuration.positive)
    detection.interval = fields.optional("interval", JSONDuration.positive) ?? detection.interval
    detection.baseEjectionTime = base ?? detection.baseEjectionTime
    detection.maxEjectionTime =
      fields.optional("maxEjectionTime", JSONDuration.positive)
      ?? max(detection.maxEjectionTime, detection.baseEjectionTime)
    detection.maxEjectionPercent =
      fields.optional("maxEjectionPercent", JSONUInt32.percent) ?? detection.maxEjectionPercent
    detection.consecutiveFailures = fields.optional("consecutiveFailures", JSONUInt32.read)
    if let rates = fields.optionalObject("successRateEjection") {
      detection.successRateDeviations = Double(rates.optional("stdevFactor", JSONUInt32.read) ?? 1_900) / 1_000
      detection.successRateEnforcement = rates.optional("enforcementPercentage", JSONUInt32.percent) ?? 100
      detection.minimumHosts = rates.optional("minimumHosts", JSONUInt32.read) ?? detection.minimumHosts
      detection.requestVolume = rates.optional("requestVolume", JSONUInt32.read) ?? detection.requestVolume
    } else {
      detection.successRateDeviations = nil
    }
    detection.failurePercentage = fields.optionalObject("failurePercentageEjection").map { rates in
      var failures = OutlierDetection.FailurePercentage()
      failures.threshold = rates.optional("threshold", JSONUInt32.percent) ?? failures.threshold
      failures.enforcement = rates.optional("enforcementPercentage", JSONUInt32.percent) ?? failures.enforcement
      failures.minimumHosts = rates.optional("minimumHosts", JSONUInt32.read) ?? failures.minimumHosts
      failures.requestVolume = rates.optional("requestVolume", JSONUInt32.read) ?? failures.requestVolume
      return failures
    }
    return detection
  }
}
