import StrictJSON

/// Why a text is no service config: everything that is wrong with it, each with its place.
public struct ServiceConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
  /// One sentence each: `methodConfig[1].retryPolicy.maxAttempts must be from 2 to 4294967295`.
  public let problems: [String]

  public var description: String { problems.joined(separator: "; ") }
}

extension ServiceConfiguration {
  /// The largest text, in bytes.
  public static let maximumJSONBytes = 64 << 10

  /// Reads gRPC's service config in its JSON form.
  ///
  /// ```json
  /// {"loadBalancingConfig": [{"round_robin": {}}],
  ///  "methodConfig": [{"name": [{"service": "hello.v1.Greeter"}], "timeout": "2s", "retryPolicy": {
  ///    "maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
  ///    "retryableStatusCodes": ["UNAVAILABLE"]}}]}
  /// ```
  ///
  /// The rules are the specification's, with two exceptions: a name that is not known here is refused instead of
  /// overlooked, because a misspelt policy would silently be none; and a text without `retryThrottling` has the budget of
  /// ``RetryThrottle`` instead of none.
  ///
  /// Spec: https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto; proposals A6, A17,
  /// A21, A48, A50.
  /// - Throws: everything that is wrong with the text.
  public init(json text: String) throws(ServiceConfigurationError) {
    do {
      let value = try JSONValue(parsing: text, limits: JSONLimits(maximumBytes: Self.maximumJSONBytes))
      let fields = try JSONFields(value)
      let configuration = ServiceConfiguration(fields)
      try fields.finish()
      self = configuration
    } catch let errors as JSONFieldErrors {
      throw ServiceConfigurationError(
        problems: errors.items.map { $0.field.isEmpty ? $0.message : "\($0.field) \($0.message)" })
    } catch {
      throw ServiceConfigurationError(problems: ["\(error)"])
    }
  }

  private init(_ fields: JSONFields) {
    self.init()
    if let chosen = BalancingJSON.read(fields) { (balancing, outlierDetection) = (chosen.policy, chosen.outliers) }
    if let throttling = fields.optionalObject("retryThrottling") { retryThrottle = Self.throttle(throttling) }
    healthCheckedService = fields.optionalObject("healthCheckConfig")?.optionalString("serviceName")
    var named: Set<String> = []
    let methods = fields.objects("methodConfig", maximumCount: Self.maximumMethodConfigs) { method in
      (names: Self.names(method, &named), configuration: Self.methodConfiguration(method))
    }
    for method in methods {
      for name in method.names { configure(name: name, method.configuration) }
    }
  }

  /// More entries are a mistake.
  private static let maximumMethodConfigs = 1_000

  /// Of `methodConfig`: `Service/Method`, `Service/`, or "" for all that nobody names. One without names is for nobody.
  private static func names(_ method: JSONFields, _ named: inout Set<String>) -> [String] {
    method.objects("name", maximumCount: maximumMethodConfigs) { name in
      let (service, method) = (name.optionalString("service") ?? "", name.optionalString("method") ?? "")
      guard !service.isEmpty || method.isEmpty else {
        name.fail("service", "is missing beside the method")
        return nil
      }
      let key = service.isEmpty ? "" : "\(service)/\(method)"
      guard named.insert(key).inserted else {
        name.fail("service", "and method are named twice: \(key.isEmpty ? "the default" : key)")
        return nil
      }
      return key
    }
  }

  private static func methodConfiguration(_ fields: JSONFields) -> MethodConfiguration {
    var configuration = MethodConfiguration()
    configuration.waitForReady = fields.optionalBool("waitForReady")
    configuration.timeout = fields.optional("timeout", JSONDuration.notNegative)
    configuration.maxRequestBytes = fields.optional("maxRequestMessageBytes", JSONUInt32.read)
    configuration.maxResponseBytes = fields.optional("maxResponseMessageBytes", JSONUInt32.read)
    let (retry, hedging) = (fields.optionalObject("retryPolicy"), fields.optionalObject("hedgingPolicy"))
    if let retry { configuration.repetition = .retry(retryPolicy(retry)) }
    if let hedging { configuration.repetition = .hedge(hedgingPolicy(hedging)) }
    if retry != nil, hedging != nil { fields.fail("hedgingPolicy", "cannot stand beside a retryPolicy") }
    return configuration
  }

  private static func retryPolicy(_ fields: JSONFields) -> RetryPolicy {
    let codes = codes(fields, "retryableStatusCodes")
    if fields.required("retryableStatusCodes") != nil, codes.isEmpty {
      fields.fail("retryableStatusCodes", "must name at least one code")
    }
    return RetryPolicy(
      maxAttempts: fields.required("maxAttempts", JSONUInt32.attempts) ?? 2,
      initialBackoff: fields.required("initialBackoff", JSONDuration.positive) ?? .zero,
      maxBackoff: fields.required("maxBackoff", JSONDuration.positive) ?? .zero,
      backoffMultiplier: fields.required("backoffMultiplier", positiveNumber) ?? 1, retryableCodes: codes)
  }

  private static func hedgingPolicy(_ fields: JSONFields) -> HedgingPolicy {
    HedgingPolicy(
      maxAttempts: fields.required("maxAttempts", JSONUInt32.attempts) ?? 2,
      delay: fields.optional("hedgingDelay", JSONDuration.notNegative) ?? .zero,
      nonFatalCodes: codes(fields, "nonFatalStatusCodes"))
  }

  private static func throttle(_ fields: JSONFields) -> RetryThrottle {
    let tokens = fields.required("maxTokens") { value throws(JSONFieldProblem) in
      guard let count = value.int64Value, 1...1_000 ~= count else { throw JSONFieldProblem("must be from 1 to 1000") }
      return Int(count)
    }
    let ratio = fields.required("tokenRatio", positiveNumber)
    return RetryThrottle(maxTokens: tokens ?? 1, ratio: min(ratio ?? 1, 1_000))
  }

  /// Codes stand as numbers or as words, in any case (proposal A6).
  private static func codes(_ fields: JSONFields, _ name: String) -> Set<StatusCode> {
    Set(
      fields.array(name, maximumCount: 17) { value throws(JSONFieldProblem) in
        if let number = value.int64Value, let code = Int32(exactly: number), StatusCode(rawValue: code).isCanonical {
          return StatusCode(rawValue: code)
        }
        if let word = value.stringValue?.uppercased(),
          let number = StatusCode.names.firstIndex(where: { "\($0)" == word })
        {
          return StatusCode(rawValue: Int32(number))
        }
        throw JSONFieldProblem("is no status code")
      })
  }

  private static func positiveNumber(_ value: JSONValue) throws(JSONFieldProblem) -> Double {
    guard let number = value.doubleValue, number > 0, number.isFinite else {
      throw JSONFieldProblem("must be a number greater than 0")
    }
    return number
  }
}
